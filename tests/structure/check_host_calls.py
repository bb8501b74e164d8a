#!/usr/bin/env python3
"""Fails if a GPU kernel's object ends the process: NM, then the objects.

Where a template that runs on the host calls a function of the device alone, nvcc says nothing and
puts exit(1) in the call's place. The harness, for which both are one, cannot see it.
"""

import subprocess
import sys


def main(nm: str, objects: list[str]) -> int:
    if not objects:
        print("expected objects to look at")
        return 1
    failed = 0
    for path in objects:
        listing = subprocess.run(
            [nm, "--undefined-only", path], check=True, capture_output=True, text=True
        )
        if "exit" in (line.split()[-1] for line in listing.stdout.splitlines() if line.strip()):
            print(f"{path}: calls exit(): host code calls a function of the device")
            failed = 1
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
