"""Times a call with stock and with polyops, interleaved in one process.

Stock is torch unpatched: the wrappers' own cost is part of what is measured. A sample is a batch
of calls of at least 200 us; each round takes a median of samples of both sides, in turns first.
The ratio is the median of the rounds' ratios, so that a machine that slows down for a while slows
both sides; rounds go on until their median is known well enough, or for 3 s.

Where a result lies can change the time of the very same kernel by half. Tensors of both sides lie
in the same recycled memory, at another place in its pages each round; some calls go by before a
sample is taken.
"""

import itertools
import math
import random
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from polyops import _C
from polyops._bench.calls import make
from polyops._bench.inputs import Case
from polyops._bench.shapes import Spec

LEAST_ROUNDS = 3
ROUNDS = 9
MOST_ROUNDS = 150
MOST_NS = 3_000_000_000
# Between the 20th and the 80th percentile of the rounds' ratios, by the root of their number: the
# median's standard error is about 3/4 of it.
KNOWN = 0.027
SAMPLE_NS = 200_000
SETTLE_NS = 1_000_000  # of calls between the switch and the first sample
LONG_NS = 10_000_000  # from here on a sample is one call, and a round one sample
# Below this, stock's time is mostly dispatch: the call is judged by what polyops adds to it.
TINY_US = 10.0
# Of the largest value. A sanity check: the tests have the real bounds.
TOLERANCE = {"float32": 1e-5, "bfloat16": 2**-7, "float16": 2**-10, "float64": 1e-12, "uint8": 0.0}
# Of the largest value, too: no rounding is so large, stock's result is another function's.
WRONG = 0.25


@dataclass(frozen=True)
class Timing:
    stock_us: float
    polyops_us: float
    ratio: float
    """stock / polyops, the median of the rounds: above 1 polyops is faster"""
    p20: float
    """20th percentile of the rounds' ratios"""
    p80: float

    @property
    def gate_ratio(self) -> float:
        """What a gate goes by."""
        return self.ratio


def timing_of(stock_us: list[float], polyops_us: list[float]) -> Timing:
    """Of rounds, in each of which both sides were timed."""
    ratios = [stock / ours for stock, ours in zip(stock_us, polyops_us, strict=True)]
    return Timing(
        stock_us=statistics.median(stock_us),
        polyops_us=statistics.median(polyops_us),
        ratio=statistics.median(ratios),
        p20=percentile(ratios, 0.2),
        p80=percentile(ratios, 0.8),
    )


def prepared(spec: Spec) -> Case:
    """The row's call, its tensors in memory of their own."""
    _C.release_tensor_memory()
    _C.place_tensors(0)
    return make(spec)


@contextmanager
def patched(on: bool) -> Iterator[None]:
    """At first patched or not; afterwards as before. For one thread, as _C.patch."""
    before = _C.is_patched()
    set_patched(on)
    try:
        yield
    finally:
        set_patched(before)


def set_patched(on: bool) -> None:
    if on != _C.is_patched():
        (_C.patch if on else _C.unpatch)()


def batch_ns(fn: Callable[[], Any], calls: int) -> float:
    """Time of one call, in the mean over a batch."""
    clock = time.perf_counter_ns
    start = clock()
    for _ in itertools.repeat(None, calls):
        fn()
    return (clock() - start) / calls


def _warm_up(fn: Callable[[], Any]) -> float:
    """Returns about what a call takes."""
    start = time.perf_counter_ns()
    best, calls = float("inf"), 1
    while time.perf_counter_ns() - start < 2 * SAMPLE_NS:
        best = min(best, batch_ns(fn, calls))
        calls = min(2 * calls, 64)
    return best


def percentile(values: list[float], share: float) -> float:
    """By linear interpolation between the values."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def time_both(
    case: Case,
    round_done: Callable[[], None] = lambda: None,
    hopeless: float = 0.0,
    patched_fn: Callable[[], Any] | None = None,
    rounds: int = ROUNDS,
) -> Timing:
    """Stock against polyops as it is set now (gates, forcing, enabled ops).

    Calls round_done() after each round. Ends early if no round's ratio came near `hopeless`.
    patched_fn: what polyops runs, if not the same. rounds: at least.
    """
    with patched(_C.is_patched()):
        sides = case.fn, patched_fn or case.fn
        return interleaved(sides, set_patched, round_done, hopeless, rounds)


def interleaved(
    sides: tuple[Callable[[], Any], Callable[[], Any]],
    switch: Callable[[bool], None],
    round_done: Callable[[], None] = lambda: None,
    hopeless: float = 0.0,
    rounds: int = ROUNDS,
) -> Timing:
    """The first side with the switch off against the second with it on; leaves it either way."""
    quickest = float("inf")
    for on in (False, True):
        switch(on)
        quickest = min(quickest, _warm_up(sides[on]))
    calls = max(1, round(SAMPLE_NS / quickest))
    samples = 1 if quickest > LONG_NS else 3
    settling = max(2, round(SETTLE_NS / quickest))
    found: tuple[list[float], list[float]] = [], []
    lines = random.Random(0)
    start = time.perf_counter_ns()
    for turn in range(MOST_ROUNDS):
        _C.place_tensors(64 * lines.randrange(64))
        for on in (turn % 2 == 0, turn % 2 == 1):
            switch(not on)  # so that either side comes after one switch each way
            switch(on)
            batch_ns(sides[on], settling)
            times = [batch_ns(sides[on], calls) for _ in range(samples)]
            found[on].append(statistics.median(times) / 1e3)
        round_done()
        if is_enough(*found, rounds, start, hopeless):
            break
    return timing_of(*found)


def is_enough(
    stock_us: list[float], polyops_us: list[float], least: int, start_ns: int, hopeless: float
) -> bool:
    """Whether these rounds, begun at start_ns, say what the ratio is, or that it is hopeless.

    least: rounds, but for a hopeless ratio.
    """
    ratios = [stock / ours for stock, ours in zip(stock_us, polyops_us, strict=True)]
    if len(ratios) == LEAST_ROUNDS and max(ratios) < hopeless:
        return True
    spread = percentile(ratios, 0.8) - percentile(ratios, 0.2)
    known = spread / math.sqrt(len(ratios)) < KNOWN
    return len(ratios) >= least and (known or time.perf_counter_ns() - start_ns > MOST_NS)


def disagreement(spec: Spec, case: Case) -> str | None:
    """Runs the call once each way. None: the same answer, or one as near to the exact one.

    Where the two differ by more than the dtype's TOLERANCE, both are held against the call on the
    same values in float64: polyops' error may be twice stock's, and the tolerance. An error of
    stock's beyond WRONG excuses none.
    """
    with patched(False):
        stock = case.check()
    with patched(True):
        ours = case.check()
    if [_layout(t) for t in stock] != [_layout(t) for t in ours]:
        return f"results {[*map(_layout, ours)]} for {[*map(_layout, stock)]}"
    tolerance = TOLERANCE[spec.dtype]
    if all(_error(a, b) <= tolerance for a, b in zip(ours, stock, strict=True)):
        return None
    with patched(False):
        exact = make(spec, exact=True).check()
    for index, (a, b, truth) in enumerate(zip(ours, stock, exact, strict=True)):
        found, excuse = _error(a, truth), 2 * _error(b, truth)
        allowed = tolerance + (excuse if excuse <= 2 * WRONG else 0)
        if not found <= allowed:
            return f"result {index} is off by {found:.1e} of the largest value, not {allowed:.1e}"
    return None


def _layout(result: Tensor) -> tuple[Any, ...]:
    return result.dtype, tuple(result.shape), result.stride()


def _error(found: Tensor, truth: Tensor) -> float:
    """The largest difference, of the largest true value that is finite; 0 if there is none.

    Equal infinities do not differ: a float16 total that overflows is right where stock's does.
    """
    if truth.numel() == 0:
        return 0.0
    found, truth = found.double(), truth.double()
    scale = truth.masked_fill(~truth.isfinite(), 0).abs().max().item() or 1.0
    return (found - truth).masked_fill(found == truth, 0).abs().max().item() / scale


def served_by(case: Case, overload: str) -> tuple[str | None, str]:
    """The kernel that takes the call now, or None and the reason."""
    with patched(True):
        events = _C.trace(case.fn)
    own = [event for event in events if event[0] == f"aten::{overload}"] or events
    if not own:
        return None, "not registered"
    _, kernel, reason = own[0]
    return kernel, reason or ""


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
