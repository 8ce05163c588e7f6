#!/usr/bin/env python
"""The one entry point: `manage.py up` for everything, `web`, `worker` and `beat` for each part alone."""

import os
import sys
from pathlib import Path

from django.core.management import execute_from_command_line
from dotenv import load_dotenv

if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    if sys.argv[1:2] != ["up"]:
        # While `up` runs, other commands (changepassword, shell) reach its servers by what it wrote down here.
        load_dotenv(Path(os.environ.get("WEFT_STATE_DIR") or ".weft") / "environment")
    execute_from_command_line(sys.argv)
