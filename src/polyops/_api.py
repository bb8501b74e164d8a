"""The public switches and counters."""

from pathlib import Path
from typing import TypedDict

from polyops import _C


class OpStats(TypedDict):
    """Counts of one op since the start or the last ``reset_stats()``, over all threads."""

    hits: int
    """Calls that a polyops kernel took."""
    declined: dict[str, int]
    """Calls handed to PyTorch's own kernel, by reason."""
    kernels: dict[str, int]
    """Calls taken, by kernel."""


class MemoryStats(TypedDict):
    """Of the memory of CPU tensors of 64 KiB and more; bytes, or counts since the start."""

    keeping: bool
    """False: switched off, not patched, or another library's allocator is in place."""
    limit_bytes: int
    kept_bytes: int
    """Of freed tensors, kept for the next."""
    in_use_bytes: int
    reused: int
    """Tensors that got memory that was kept."""
    fresh: int
    """Tensors that got memory from the system."""


class Switch:
    """A change of enabled ops that is already made; as a context manager it is undone at the end.

    Process-wide, not per thread: a backward pass runs on other threads than its forward.
    """

    def __init__(self, state: dict[str, bool]) -> None:
        self._before = {op: _C.is_enabled(op) for op in state}
        _set(state)

    def __enter__(self) -> "Switch":
        return self

    def __exit__(self, *error: object) -> None:
        _set(self._before)


def _set(state: dict[str, bool]) -> None:
    for op, on in state.items():
        _C.set_enabled(op, on)


def _checked(names: tuple[str, ...]) -> list[str]:
    known = _C.ops()
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ValueError(
            f"unknown op{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}; "
            f"known ops: {', '.join(known)}"
        )
    return list(names)


def ops() -> list[str]:
    """The ops that polyops may take over, e.g. ``softmax``, by the names that switches take."""
    return sorted(_C.ops())


def is_enabled(op: str) -> bool:
    """Whether calls of ``op`` may go to polyops' kernels.

    Raises:
        ValueError: no such op.
    """
    return _C.is_enabled(_checked((op,))[0])


def _registrable(names: list[str]) -> list[str]:
    """ValueError for an op that was switched off before polyops was imported."""
    off = set(_C.policy()["disabled"]).intersection(names)
    if off:
        raise ValueError(
            f"disabled by a POLYOPS_ variable when polyops was imported, and so never "
            f"registered: {', '.join(sorted(off))}"
        )
    return names


def enable(*names: str) -> Switch:
    """Lets the named ops, or all when none is named, run on polyops' kernels.

    Takes effect at once, in every thread, and stays: ``polyops.enable("softmax")``. As a context
    manager it ends with the block: ``with polyops.enable("softmax"): ...``. Without names, ops that
    a POLYOPS_ variable disabled stay so.

    Raises:
        ValueError: no such op, or one that a POLYOPS_ variable disabled; nothing is changed.
    """
    disabled = _C.policy()["disabled"]
    all_ops = [op for op in _C.ops() if op not in disabled]
    return Switch(dict.fromkeys(_registrable(_checked(names)) or all_ops, True))


def disable(*names: str) -> Switch:
    """Sends the named ops, or all when none is named, to PyTorch's own kernels; as ``enable``.

    Raises:
        ValueError: no such op; nothing is changed.
    """
    return Switch(dict.fromkeys(_checked(names) or _C.ops(), False))


def only(*names: str) -> Switch:
    """Enables the named ops and disables all others; as ``enable``.

    Raises:
        ValueError: no such op, none named, or one that a POLYOPS_ variable disabled; nothing is
            changed.
    """
    if not names:
        raise ValueError(f"only() needs the name of an op; known ops: {', '.join(_C.ops())}")
    wanted = _registrable(_checked(names))
    return Switch({op: op in wanted for op in _C.ops()})


def patch() -> None:
    """Registers polyops with PyTorch's dispatcher, as ``import polyops`` does; idempotent.

    Only while no other thread is inside torch: the dispatcher's table is not safe to change under
    calls. To switch while others run use ``enable`` and ``disable``.
    """
    _C.patch()


def unpatch() -> None:
    """Takes polyops' registrations out: torch is as before the import. As ``patch`` on threads.

    Memory that is kept of freed tensors goes back to the system; tensors keep what they have.
    """
    _C.unpatch()


def is_patched() -> bool:
    """Whether polyops is registered with PyTorch's dispatcher."""
    return _C.is_patched()


def stats() -> dict[str, OpStats]:
    """What ran so far: calls taken, by kernel, and calls declined, by reason, for each op."""
    return {
        op: OpStats(hits=of["hits"], declined=of["declined"], kernels=of["kernels"])
        for op, of in _C.stats().items()
    }


def reset_stats() -> None:
    """Sets all counters of ``stats()`` to zero."""
    _C.reset_stats()


def keep_memory(max_bytes: int) -> None:
    """Keeps at most ``max_bytes`` of freed CPU tensors for the next ones.

    Memory new from the system costs a page fault per 4 KB, which takes longer than most kernels
    need to fill it. Counts from now on, in every thread; what is over it is given back, the oldest
    first. 0: nothing is kept, and torch's own allocator serves every tensor. Without this call, and
    without ``POLYOPS_KEEP_MB``, it is a sixteenth of the memory that the process may use, at most
    4 GiB.

    Raises:
        ValueError: ``max_bytes`` is negative.
    """
    if max_bytes < 0:
        raise ValueError(f"max_bytes is {max_bytes}; expected a number from 0 up")
    _C.set_kept_limit(max_bytes)


def empty_cache() -> None:
    """Gives the memory that is kept of freed CPU tensors back to the system."""
    _C.release_kept()


def memory_stats() -> MemoryStats:
    """What of the memory of CPU tensors is kept, and how often that served."""
    return _C.memory_stats()


def get_include() -> str:
    """Folder of the C headers (``polyops/abi.h``) that a plug-in for a chip compiles against."""
    package = Path(__file__).resolve().parent
    return str(package / "include")
