"""``python -m polyops`` is the command ``polyops``."""

import sys

from polyops_entry.cli import main

sys.exit(main())
