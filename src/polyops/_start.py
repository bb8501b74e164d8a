"""What happens once, at `import polyops`: open the families, load the gates, patch."""

from pathlib import Path

from polyops import _C, _gates

PACKAGE = Path(__file__).resolve().parent


def start() -> None:
    """Raises ValueError for a wrong value in a POLYOPS_ variable or a broken gate file."""
    _C.initialize(str(PACKAGE / "lib"))
    ops = {kernel["name"]: kernel["op"] for kernel in _C.kernels()}
    _gates.load_all(map(_gates.read, _gates.files()), ops)
    _C.commit_gates()
    if _C.policy()["autopatch"]:
        _C.patch()
