"""A device for the benchmark's tests: the CPU, behind a module like torch.cuda."""

import time
from types import SimpleNamespace


class FakeModule:
    """As torch.cuda, of a device that is the CPU; work() is what only the device does."""

    def __init__(self):
        self.worked_us = 0.0

    def work(self, us: float) -> None:
        self.worked_us += us

    def now_ms(self) -> float:
        return time.perf_counter() * 1e3 + self.worked_us / 1e3

    def Event(self, *, enable_timing: bool):  # noqa: N802
        assert enable_timing
        event = SimpleNamespace(ms=0.0, synchronize=lambda: None)
        event.record = lambda: setattr(event, "ms", self.now_ms())
        event.elapsed_time = lambda end: end.ms - event.ms
        return event

    def synchronize(self) -> None: ...

    def empty_cache(self) -> None: ...

    def current_device(self) -> int:
        return 0

    def get_device_properties(self, index: int):
        return SimpleNamespace(
            name="toy", L2_cache_size=1 << 10, total_memory=1 << 30, driver_version="1.2"
        )
