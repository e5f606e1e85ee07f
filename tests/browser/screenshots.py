"""Take the screenshots of docs/images, with Debian's chromium, of a world of its own: `make screenshots`."""

from __future__ import annotations

import base64
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from local import REPOSITORY
from tests.browser.greenhouses import GROUPS, SHOWN, furnish
from tests.fixtures.browser import CHROMIUM, Open, Page, choose_password, chromium, first_link, pages, sign_in
from tests.fixtures.nexus import running

IMAGES: Final = REPOSITORY / "docs" / "images"
SCREEN: Final = {"width": 1440, "height": 900}
PHONE: Final = {"width": 390, "height": 780}
MOST_BYTES: Final = 100_000
QUALITY: Final = 88


class Shot(NamedTuple):
    """A page as an image: its path has the number of the campaign where it says so."""

    path: str
    wait_for: str
    """What is on the page once it is drawn, as a selector of CSS."""
    viewport: dict[str, int] = SCREEN
    more: Mapping[str, Any] = {}


CHARTS: Final = "chart=/3303/0/5700&chart=/3304/0/5700&line=/3303/0/5700:28"
SHOTS: Final[Mapping[str, Shot]] = {
    "fleet": Shot("/?sort=-name&columns=/3303/0/5700", "table.fleet"),
    "device": Shot(f"/device?name={SHOWN}&{CHARTS}&span=24h", "value-chart:nth-of-type(1) canvas"),
    "operations": Shot("/operations", "table.list"),
    "campaign": Shot("/campaigns/{campaign}", "table.waves"),
    "health": Shot("/health", "h1"),
    "fleet-phone": Shot("/?sort=-name", "table.fleet", PHONE, {"color_scheme": "dark"}),
}


def main() -> int:
    """Start a world, fill it and take all of SHOTS; return the status of the process."""
    if CHROMIUM is None:
        print("error: Debian's package chromium is not installed", file=sys.stderr)
        return 1
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running(Path(folder) / "home", groups=GROUPS, stack_environment={"FIRMWARE_GRACE": "6s"}) as nexus,
        chromium() as browser,
        pages(browser, nexus.world.console_url) as open_page,
    ):
        first = open_page(first_link(nexus))
        choose_password(first, "ann")
        first.get_by_role("heading", name="Fleet").wait_for()
        campaign = furnish(nexus, Path(folder))
        for name, shot in SHOTS.items():
            take(open_page, shot, campaign, IMAGES / f"{name}.webp")
    return 0


def take(open_page: Open, shot: Shot, campaign: int, file: Path) -> None:
    """Take one screenshot; fail if it is too large for a document."""
    page = open_page(shot.path.format(campaign=campaign), shot.viewport, **shot.more)
    sign_in(page)
    page.locator(shot.wait_for).first.wait_for()
    page.wait_for_timeout(1_000)  # charts are drawn after their values have come
    image = webp(page)
    print(f"{file.relative_to(REPOSITORY)}  {len(image):,} bytes")
    if len(image) > MOST_BYTES:
        raise SystemExit(f"error: {file.name} has more than {MOST_BYTES:,} bytes")
    file.write_bytes(image)


def webp(page: Page) -> bytes:
    """Return what the page's window shows; playwright itself knows no WebP."""
    session = page.context.new_cdp_session(page)
    size = page.viewport_size
    clip = {"x": 0, "y": 0, **size, "scale": 2 if size == PHONE else 1}
    answer = session.send("Page.captureScreenshot", {"format": "webp", "quality": QUALITY, "clip": clip})
    return base64.b64decode(answer["data"])


if __name__ == "__main__":
    sys.exit(main())
