"""What the benchmark needs of what rows run on: of the CPU (cpu.py) or a device (device.py)."""

from collections.abc import Callable
from typing import Any, Protocol

from polyops._bench.inputs import Case
from polyops._bench.measure import Timing
from polyops._bench.shapes import Spec

Calls = dict[str, Callable[[], Any]]


class Target(Protocol):
    """Where rows run, how a call is timed there, and the limits that it is held against."""

    name: str
    """As torch calls the device."""

    def describe(self) -> dict[str, Any]:
        """The machine, as --json has it. The first time it is measured, and so warmed up."""

    def heading(self, about: dict[str, Any]) -> str:
        """The same in a few lines."""

    def prepared(self, spec: Spec) -> Case:
        """The row's call, its tensors in memory of their own."""

    def others(self, spec: Spec, case: Case) -> Calls:
        """Calls by which others than stock compute the row, by name."""

    def time(self, case: Case, others: Calls | None = None, hopeless: float = 0.0) -> Timing:
        """Stock against polyops as it is set now, as measure.time_both()."""

    def bandwidth(self, case: Case) -> float:
        """The GB/s that the call's bytes are held against."""

    def saw_gflops(self, dtype: str, rate: float) -> None:
        """A product reached that rate."""

    def peak_gflops(self, dtype: str) -> float:
        """The largest rate of a product that this process has seen."""

    def thread_counts(self) -> list[int]:
        """With how many threads gates are measured."""
