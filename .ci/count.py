"""Prints 'N passed, N failed, N skipped' over JUnit files; exit status 1 if any failed."""

import sys
from pathlib import Path
from xml.etree import ElementTree


def main(paths: list[str]) -> int:
    """Counts test cases; a file without any is a failure, too."""
    passed = failed = skipped = 0
    for path in paths:
        cases = list(ElementTree.fromstring(Path(path).read_text()).iter("testcase"))
        for case in cases:
            if case.find("failure") is not None or case.find("error") is not None:
                failed += 1
            elif case.find("skipped") is not None or case.get("status") in ("notrun", "disabled"):
                skipped += 1
            else:
                passed += 1
        failed += not cases
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
