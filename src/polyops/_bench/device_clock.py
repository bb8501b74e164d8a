"""Times calls on a device, stock and polyops and others interleaved in one process.

The device's time of a call is that between two events around a batch of calls, which are issued
while copies keep the device busy: else the events would show how slowly the host issues them. The
host's time is that of issuing a batch, without waiting for the device. Rounds, in which the turns
swap, are as those of measure.py.
"""

import itertools
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypedDict

import torch

from polyops import _C
from polyops._bench.measure import (
    MOST_ROUNDS,
    TINY_US,
    Timing,
    batch_ns,
    is_enough,
    patched,
    set_patched,
    timing_of,
)
from polyops._bench.rotation import MOST_COPIES, Rotation

MOST_CALLS = 100  # of a sample: what it launches has to fit into the device's queue
COPIED_BYTES = 1 << 30
MOVING_CALLS = 20
MOVING_ISSUE_US = 20.0 * MOVING_CALLS  # what the host needs, at most
LEAD = 1.5  # times what the host needs to issue a batch, copies keep the device busy


@dataclass(frozen=True)
class Effort:
    """What a row's time is worth. rounds: at least; samples: of a round, whose median counts.

    until_known: rounds go on until the ratio's median is known well enough.
    """

    rounds: int = 5  # a device's times spread less than a CPU's
    samples: int = 3
    sample_us: float = 2_000.0
    until_known: bool = True


FULL = Effort()
BRIEF = Effort(rounds=4, samples=1, sample_us=1_000.0, until_known=False)


class Clock:
    """Of one device; its module is what torch.get_device_module() gives."""

    def __init__(self, device: str, module: Any, copied_bytes: int = COPIED_BYTES) -> None:
        self._module = module
        self._source = torch.randn(copied_bytes // 4, device=device)
        self._copy = torch.empty_like(self._source)
        self._start, self._end = (module.Event(enable_timing=True) for _ in range(2))
        self._copy_us = math.inf
        self._keep_busy()
        self._copy_us = min(self.device_us(self._keep_busy, 5, 0) for _ in range(10))
        self._moving_us: dict[int, float] = {}

    @property
    def copy_gbs(self) -> float:
        """Of a copy on the device, bytes read and written."""
        return 2 * self._source.nbytes / self._copy_us / 1e3

    def moving_us(self, nbytes: int) -> float:
        """Of the simplest kernel that moves as many bytes: torch.neg, which reads half of them."""
        size = max(1, nbytes // (2 * self._source.element_size()))
        if size > self._source.numel():
            return nbytes / self.copy_gbs / 1e3
        if size not in self._moving_us:
            # In turn through all memory, so that none is in the cache.
            starts = range(0, self._source.numel() - size + 1, size)[:MOST_COPIES]
            calls = [
                partial(torch.neg, self._source[start:][:size], out=self._copy[start:][:size])
                for start in starts
            ]
            call = Rotation(calls)
            samples = [self.device_us(call, MOVING_CALLS, MOVING_ISSUE_US) for _ in range(5)]
            self._moving_us[size] = statistics.median(samples)
        return self._moving_us[size]

    def _keep_busy(self) -> None:
        self._copy.copy_(self._source)

    def device_us(self, fn: Callable[[], Any], calls: int, issue_us: float) -> float:
        """Of a call, in the mean over a batch that the host issues within issue_us."""
        for _ in range(math.ceil(issue_us / self._copy_us)):
            self._keep_busy()
        self._start.record()
        for _ in itertools.repeat(None, calls):
            fn()
        self._end.record()
        self._end.synchronize()
        return float(self._start.elapsed_time(self._end)) * 1e3 / calls

    def host_us(self, fn: Callable[[], Any], calls: int) -> float:
        """To issue a call, in the mean over a batch."""
        self._module.synchronize()
        ns = batch_ns(fn, calls)
        self._module.synchronize()
        return ns / 1e3


@dataclass
class Side:
    """What is timed, and the rounds' times so far."""

    fn: Callable[[], Any]
    effort: Effort
    patched: bool = False
    calls: int = 3
    """Of a sample."""
    device_us: list[float] = field(default_factory=list)
    host_us: list[float] = field(default_factory=list)

    def warm_up(self, clock: Clock) -> None:
        set_patched(self.patched)
        self.fn()  # which may load or compile something
        for _ in range(3):
            host, device = self._sample(clock)
        sample_us = self.effort.sample_us
        self.calls = max(1, min(MOST_CALLS, round(sample_us / max(device, host / 4))))

    def _sample(self, clock: Clock) -> tuple[float, float]:
        host = clock.host_us(self.fn, self.calls)
        return host, clock.device_us(self.fn, self.calls, LEAD * host * self.calls)

    def run(self, clock: Clock) -> None:
        set_patched(not self.patched)  # so that each side comes after one switch each way
        set_patched(self.patched)
        self.fn()
        samples = [self._sample(clock) for _ in range(self.effort.samples)]
        self.host_us.append(statistics.median(host for host, _ in samples))
        self.device_us.append(statistics.median(device for _, device in samples))


class Other(TypedDict):
    """Another library's call. ratio: stock's time on the device / its own."""

    us: float
    ratio: float
    host_us: float


@dataclass(frozen=True)
class DeviceTiming(Timing):
    """Times on the device, and what the host takes to issue a call.

    moving_us: of the simplest kernel that moves as many bytes as the call has to.
    """

    host_stock_us: float
    host_polyops_us: float
    moving_us: float
    others: dict[str, Other]

    @property
    def gate_ratio(self) -> float:
        """Of a tiny call that of issuing it and waiting for it."""
        if self.stock_us >= TINY_US:
            return self.ratio
        return (self.host_stock_us + self.stock_us) / (self.host_polyops_us + self.polyops_us)


def interleaved(
    clock: Clock,
    fn: Callable[[], Any],
    nbytes: int,
    others: dict[str, Callable[[], Any]] | None = None,
    hopeless: float = 0.0,
    effort: Effort = FULL,
) -> DeviceTiming:
    """The call with stock against polyops as it is set now, and other calls beside them.

    nbytes: what the call has to move.
    """
    stock, ours = Side(fn, effort), Side(fn, effort, patched=_C.is_patched())
    rest = {name: Side(other, effort) for name, other in (others or {}).items()}
    sides = [stock, ours, *rest.values()]
    with patched(ours.patched):
        for side in sides:
            side.warm_up(clock)
        start = time.perf_counter_ns()
        for turn in range(MOST_ROUNDS):
            for side in sides if turn % 2 == 0 else reversed(sides):
                side.run(clock)
            enough = is_enough(stock.device_us, ours.device_us, effort.rounds, start, hopeless)
            if enough or (turn + 1 >= effort.rounds and not effort.until_known):
                break
    return DeviceTiming(
        **vars(timing_of(stock.device_us, ours.device_us)),
        host_stock_us=statistics.median(stock.host_us),
        host_polyops_us=statistics.median(ours.host_us),
        moving_us=clock.moving_us(nbytes),
        others={name: _other(stock.device_us, side) for name, side in rest.items()},
    )


def _other(stock_us: Sequence[float], side: Side) -> Other:
    ratios = [stock / other for stock, other in zip(stock_us, side.device_us, strict=True)]
    return Other(
        us=round(statistics.median(side.device_us), 3),
        ratio=round(statistics.median(ratios), 4),
        host_us=round(statistics.median(side.host_us), 3),
    )
