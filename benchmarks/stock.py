"""A function as OpenFaaS's stock template python3-http serves it: Flask under waitress with its four threads.

Without of-watchdog, which stands in front of it there: one hop less than it has.
"""

from __future__ import annotations

import importlib
import os
import sys

import waitress

if __name__ == "__main__":
    sys.path.insert(0, os.environ["function_dir"])
    waitress.serve(importlib.import_module("handler").app, listen=f"127.0.0.1:{os.environ['port']}")
