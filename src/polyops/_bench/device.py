"""A device, any that torch has a module for, as a target of the benchmark."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch.utils import collect_env

import polyops
from polyops._bench import contestants, device_clock, machine
from polyops._bench.calls import make
from polyops._bench.device_clock import FULL, Clock, DeviceTiming, Effort
from polyops._bench.inputs import Case
from polyops._bench.rotation import Rotation, copies
from polyops._bench.shapes import Spec
from polyops._bench.target import Calls

CACHE_BYTES = 64 << 20  # where the device does not say


def find(name: str) -> Any:
    """Torch's module of the device. Raises ValueError if this machine or this torch lacks it."""
    present = torch.accelerator.current_accelerator(check_available=True)
    if present is None or name != present.type:
        here = "cpu" if present is None else f"cpu, {present.type}"
        raise ValueError(f"no such device: {name!r}; torch {torch.__version__} finds: {here}")
    return torch.get_device_module(name)


def _first(properties: Any, *names: str) -> Any:
    """What the first of these attributes says that the properties have; None without."""
    return next((getattr(properties, name) for name in names if hasattr(properties, name)), None)


def _driver(properties: Any) -> str | None:
    """Its version, as the device or nvidia-smi says."""
    tools: Any = collect_env
    version = _first(properties, "driver_version") or tools.get_nvidia_driver_version(tools.run)
    return version and str(version)


class Device:
    """The current device of that type.

    able: which other libraries compute a row, by its name, as ahead.able() found; of rows that it
    lacks none is asked.
    """

    def __init__(
        self,
        name: str,
        module: Any,
        *,
        able: Mapping[str, Sequence[str]] | None = None,
        effort: Effort = FULL,
    ) -> None:
        self.name = name
        self._effort = effort
        self._module = module
        self._able = able or {}
        self._peaks: dict[str, float] = {}
        self._properties = module.get_device_properties(module.current_device())

    @cached_property
    def clock(self) -> Clock:
        return Clock(self.name, self._module)

    @property
    def cache_bytes(self) -> int:
        """Of its last-level cache."""
        return _first(self._properties, "L2_cache_size", "last_level_cache_size") or CACHE_BYTES

    def describe(self) -> dict[str, Any]:
        runtimes = {name: getattr(torch.version, name, None) for name in ("cuda", "hip", "xpu")}
        return {
            "device": self.name,
            "name": self._properties.name,
            "chip": machine.chip(self.name),
            "driver": _driver(self._properties),
            "torch": torch.__version__,
            "polyops": polyops.__version__,
            "libraries": {name: version for name, version in runtimes.items() if version},
            "multiprocessors": _first(
                self._properties, "multi_processor_count", "max_compute_units"
            ),
            "cache_bytes": self.cache_bytes,
            "memory_bytes": self._properties.total_memory,
            "copy_gbs": round(self.clock.copy_gbs, 1),
        }

    def heading(self, about: dict[str, Any]) -> str:
        return (
            f"{about['name']} ({about['chip']}), {about['multiprocessors']} multiprocessors, "
            f"{about['cache_bytes'] >> 20} MB of cache, {about['memory_bytes'] >> 20} MB; "
            f"driver {about['driver']}\n"
            f"torch {about['torch']} ({machine.listed(about['libraries'])}); "
            f"polyops {about['polyops']}; copy {about['copy_gbs']} GB/s (1 GB read, 1 GB written)"
        )

    def prepared(self, spec: Spec) -> Case:
        """Rotated over copies of its tensors."""
        self._module.empty_cache()
        first = make(spec)
        more = range(copies(first, self.cache_bytes) - 1)
        return replace(first, fn=Rotation([first.fn, *(make(spec).fn for _ in more)]))

    def others(self, spec: Spec, case: Case) -> Calls:
        assert isinstance(case.fn, Rotation), case.fn
        names = self._able.get(spec.name(), ())
        return contestants.others(spec, case.fn, names)

    def time(self, case: Case, others: Calls | None = None, hopeless: float = 0.0) -> DeviceTiming:
        return device_clock.interleaved(
            self.clock, case.fn, case.bytes, others, hopeless, self._effort
        )

    def bandwidth(self, case: Case) -> float:
        return self.clock.copy_gbs

    def saw_gflops(self, dtype: str, rate: float) -> None:
        self._peaks[dtype] = max(rate, self.peak_gflops(dtype))

    def peak_gflops(self, dtype: str) -> float:
        return self._peaks.get(dtype, 0.0)

    def thread_counts(self) -> list[int]:
        return [1]
