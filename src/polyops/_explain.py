"""explain(): where the calls inside a function went, and why."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ParamSpec

from polyops import _C

P = ParamSpec("P")


@dataclass(frozen=True)
class Call:
    """One call of an overload that polyops has registered.

    Exactly one of ``kernel`` and ``reason`` is None.
    """

    overload: str
    """``aten::_softmax``"""
    kernel: str | None
    """The polyops kernel that took the call, or None."""
    reason: str | None
    """Why PyTorch's own kernel ran instead, or None."""

    def __str__(self) -> str:
        if self.kernel is not None:
            return f"{self.overload} -> {self.kernel}"
        return f"{self.overload} -> stock: {self.reason}"


@dataclass(frozen=True)
class Explanation:
    """The calls that a function made, in order, and what it returned. ``str()`` is for reading."""

    calls: tuple[Call, ...]
    result: Any

    def __str__(self) -> str:
        if not self.calls:
            return "no call reached an overload that polyops has registered"
        counts = Counter(map(str, self.calls))
        return "\n".join(f"{text}  x{n}" if n > 1 else text for text, n in counts.items())


def explain(fn: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> Explanation:
    """Calls ``fn(*args, **kwargs)`` and says for each op reached which kernel ran, or why none did.

    Calls from every thread are seen, so backward too: ``print(polyops.explain(loss.backward))``.
    What ``fn`` raises is raised.

    Source: ``polyops.stats()`` counts the same decisions for the whole process.
    """
    result: list[object] = []
    calls = _C.trace(lambda: result.append(fn(*args, **kwargs)))
    return Explanation(tuple(Call(*call) for call in calls), result[0])
