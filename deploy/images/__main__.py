"""Build the images of a deployment, and push them or write them to archives."""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import time
from pathlib import Path

from deploy.images.contexts import BUILD, ContextError, Image, images, lay_out
from deploy.images.engine import Engine, EngineError
from local.openfaas.stack import StackError
from local.servers.java import JavaError


def build(engine: Engine, wanted: list[Image], arguments: argparse.Namespace) -> None:
    """Build images from contexts that are there; with --archives save each, too."""
    bases = {False: arguments.base, True: arguments.java_base}
    for image in wanted:
        began = time.monotonic()
        base = bases[image.is_java]
        engine.build(
            image.reference,
            image.context,
            image.containerfile,
            {"BASE": base} if base else {},
            shlex.split(arguments.flags),
            image.stage,
        )
        say(f"{image.reference} built in {time.monotonic() - began:.1f} s")
        if arguments.archives:
            archive = arguments.archives / f"{image.name}.tar"
            engine.save(image.reference, archive)
            say(f"  archive {archive} ({archive.stat().st_size / 1e6:.0f} MB)")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> None:
    """Do what the command line asks; end with one line that says what is wrong."""
    parser = argparse.ArgumentParser(prog="python -m deploy.images", description=__doc__)
    parser.add_argument("command", choices=("build", "push"))
    parser.add_argument("--engine", default="", help="docker, podman or buildah; by default the first there")
    parser.add_argument("--base", default="", help="of the Python images, instead of the one pinned")
    parser.add_argument("--java-base", default="", help="of Leshan's image, instead of the one pinned")
    parser.add_argument("--flags", default="", help="of the engine's command, as in a shell")
    parser.add_argument("--archives", type=Path, help="folder to write an archive of each image to")
    parser.add_argument("--only", default="", help="names of images, with commas between; by default all")
    arguments = parser.parse_args()
    try:
        wanted = images(os.environ)
        names = {name for name in arguments.only.split(",") if name}
        if unknown := names - {image.name for image in wanted}:
            parser.error(f"there is no image {', '.join(sorted(unknown))}")
        wanted = [image for image in wanted if not names or image.name in names]
        engine = Engine.find(arguments.engine)
        if arguments.command == "push":
            for image in wanted:
                engine.push(image.reference, shlex.split(arguments.flags))
                say(f"{image.reference} pushed")
            return
        say(f"engine: {engine.name}")
        BUILD.mkdir(exist_ok=True)
        lay_out(wanted, os.environ, say)
        if arguments.archives:
            arguments.archives.mkdir(parents=True, exist_ok=True)
        build(engine, wanted, arguments)
    except (ContextError, EngineError, JavaError, StackError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
