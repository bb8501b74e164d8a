"""No object of one instruction set may define a weak symbol. Exit status 1 if one does.

check_objects.py NM OBJECT...

The linker keeps one definition of a weak symbol (an inline function, a template's instance) for
the whole library. If that one comes from the unit that was compiled for the newest instruction set,
every older machine executes it.
"""

import re
import subprocess
import sys

WEAK = re.compile(r"^[0-9a-f]* [WVu] (.+)$", re.MULTILINE)


def main() -> int:
    nm, objects = sys.argv[1], sys.argv[2:]
    if not objects:
        print("no objects")
        return 2
    found = 0
    for path in objects:
        output = subprocess.run(
            [nm, "-C", "--defined-only", path], check=True, capture_output=True, text=True
        ).stdout
        for symbol in WEAK.findall(output):
            print(f"{path}: weak symbol {symbol}")
            found += 1
    print(f"{found} weak symbols in {len(objects)} objects")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
