"""Is polyops built, and for this torch? Answered without opening any library."""

import importlib.util
import re
import sys
from pathlib import Path


def check_built() -> None:
    """Raises ImportError, with what to do, where this package is sources without the library."""
    folder = Path(__file__).resolve().parent
    if not (folder / "_build.py").exists() or not any(folder.glob("_C*.so")):
        raise ImportError(
            f"polyops is not built in {folder}. Build it in the folder that has its setup.py: "
            "pip install --no-build-isolation -e . Or, if another polyops is installed, let Python "
            "find that one: leave this folder, or take it out of PYTHONPATH."
        )


def installed_torch() -> str | None:
    """The version of torch, from its version.py: torch itself is not imported. None: no torch."""
    loaded = sys.modules.get("torch")
    if loaded is not None and hasattr(loaded, "__version__"):
        return str(loaded.__version__)
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    version_file = Path(spec.origin).parent / "version.py"
    text = version_file.read_text() if version_file.exists() else ""
    match = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    return match.group(1) if match else "of unknown version"


def public(version: str) -> str:
    """Without the local label: 2.13.0+cpu and 2.13.0+cu130 are one release with one C++ ABI."""
    return version.partition("+")[0]


def check_torch(built_for: str) -> None:
    """Raises ImportError, with what to do, unless the installed torch is the one built for."""
    found = installed_torch()
    if found is None:
        raise ImportError(
            "polyops needs PyTorch, which is not installed. "
            f"Install the release it was built for: pip install torch=={public(built_for)}"
        )
    if public(found) != public(built_for):
        raise ImportError(
            f"polyops was built for torch {public(built_for)}, and this is torch {found}. Either "
            f"install that torch (pip install torch=={public(built_for)}), or build polyops for "
            "this one from its source folder (pip install --no-build-isolation .)"
        )
