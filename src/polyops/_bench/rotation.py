"""The same call on copies of its tensors, in turn: so that none is still in the device's cache."""

import itertools
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from polyops._bench.inputs import Case


class Rotation:
    """Calls the next of the calls."""

    def __init__(self, calls: Sequence[Callable[[], Any]]) -> None:
        self.calls = calls
        self._next = itertools.cycle(calls).__next__

    def __call__(self) -> Any:
        return self._next()()

    def through(self, function: Callable[..., Any]) -> "Rotation":
        """Another function of the same arguments. TypeError where a call does not show its own."""
        calls = []
        for call in self.calls:
            if not isinstance(call, partial):
                raise TypeError(f"{call} is no partial")
            calls.append(partial(function, *call.args, **call.keywords))
        return Rotation(calls)


MOST_COPIES = 256  # smaller inputs stay in the cache; their calls are judged by the host's time


def copies(case: Case, cache_bytes: int) -> int:
    """How many make the inputs thrice the cache; one if a call alone touches that much.

    Inputs are at least half of what a call touches. The results' memory is that of the call before,
    as in any program.
    """
    enough = 3 * cache_bytes
    if case.footprint >= enough:
        return 1
    return min(MOST_COPIES, -(-2 * enough // max(case.footprint, 1)))
