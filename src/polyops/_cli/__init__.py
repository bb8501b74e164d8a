"""The subcommands of `polyops`; each run() returns an exit status."""

import argparse
import importlib
import sys


def run(args: argparse.Namespace) -> int:
    command = importlib.import_module(f"polyops._cli.{args.command}")
    try:
        status: int = command.run(args)
    except (ValueError, OSError) as error:
        print(f"polyops {args.command}: {error}", file=sys.stderr)
        return 2
    return status
