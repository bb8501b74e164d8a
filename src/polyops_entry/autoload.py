"""Entry point of the group ``torch.backends``: torch calls it at the end of ``import torch``.

An exception here would break torch for everybody, so none leaves; and it does nothing unless
POLYOPS_AUTOLOAD=1. That is the one POLYOPS_ variable not read by registry/policy.cc: reading it
there would mean opening our libraries in every program that imports torch.
"""

import os
import sys


def autoload() -> None:
    """Imports polyops if the user asked for it; a failure is printed, never raised."""
    if os.environ.get("POLYOPS_AUTOLOAD") != "1":
        return
    try:
        import polyops  # noqa: F401
    except Exception as error:
        print(f"POLYOPS_AUTOLOAD=1: polyops was not loaded: {error}", file=sys.stderr)
