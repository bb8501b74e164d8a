"""Stock PyTorch models on hand-tuned kernels.

``import polyops`` registers polyops' kernels with PyTorch's dispatcher: models then run on them,
forward and backward, with nothing else changed. Each call goes to the kernel that was measured to
be faster for it, or to PyTorch's own. ``stats()`` says what ran; ``enable``, ``disable`` and
``only`` switch ops; ``polyops info|demo|bench`` on the command line say and measure more.
"""

from polyops import _compat

_compat.check_built()

from polyops import _build  # noqa: E402

_compat.check_torch(_build.TORCH_VERSION)

# The library has to be in the process, with its symbols, before polyops._C is opened.
import torch  # noqa: E402, F401

from polyops import _start  # noqa: E402

_start.start()

from polyops._api import (  # noqa: E402
    MemoryStats,
    OpStats,
    Switch,
    disable,
    empty_cache,
    enable,
    get_include,
    is_enabled,
    is_patched,
    keep_memory,
    memory_stats,
    only,
    ops,
    patch,
    reset_stats,
    stats,
    unpatch,
)
from polyops._explain import Call, Explanation, explain  # noqa: E402
from polyops._freeze import Frozen, freeze  # noqa: E402

__version__ = _build.VERSION

__all__ = [
    "Call",
    "Explanation",
    "Frozen",
    "MemoryStats",
    "OpStats",
    "Switch",
    "__version__",
    "disable",
    "empty_cache",
    "enable",
    "explain",
    "freeze",
    "get_include",
    "is_enabled",
    "is_patched",
    "keep_memory",
    "memory_stats",
    "only",
    "ops",
    "patch",
    "reset_stats",
    "stats",
    "unpatch",
]
