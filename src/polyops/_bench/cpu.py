"""The CPU as a target of the benchmark."""

from typing import Any

import torch

from polyops._bench import machine, measure
from polyops._bench.inputs import Case
from polyops._bench.measure import Timing
from polyops._bench.shapes import Spec
from polyops._bench.target import Calls


class Cpu:
    name = "cpu"

    def describe(self) -> dict[str, Any]:
        return machine.describe()

    def heading(self, about: dict[str, Any]) -> str:
        return (
            f"{about['chip']}, {about['threads']} of {about['cores']} cores; "
            f"torch {about['torch']} ({machine.listed(about['libraries'])}); "
            f"polyops {about['polyops']}\n"
            f"copy {about['copy_gbs']} GB/s, read {about['read_gbs']} GB/s (256 MB), largest "
            f"float32 mm {about['peak_gflops']} GF/s"
        )

    def prepared(self, spec: Spec) -> Case:
        return measure.prepared(spec)

    def others(self, spec: Spec, case: Case) -> Calls:
        return {}

    def time(self, case: Case, others: Calls | None = None, hopeless: float = 0.0) -> Timing:
        return measure.time_both(case, hopeless=hopeless)

    def bandwidth(self, case: Case) -> float:
        """Measured over as much memory: of reading for products, else of a copy."""
        of = machine.read_gbs if case.flops else machine.copy_gbs
        return machine.bandwidth(case.footprint, of)

    def saw_gflops(self, dtype: str, rate: float) -> None:
        machine.saw_gflops(dtype, rate)

    def peak_gflops(self, dtype: str) -> float:
        return machine.peak_gflops(dtype)

    def thread_counts(self) -> list[int]:
        return sorted({1, torch.get_num_threads()})
