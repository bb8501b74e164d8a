"""Fixtures of the torch tests. Seeds: TORCH_TESTS_SEED, printed in the header, 0 by default."""

import os
from collections.abc import Callable, Iterator

import harness_stock  # noqa: F401
import pytest
import torch
from fake_device import FakeModule

import polyops
from polyops._bench import measure
from polyops._bench.device import Device
from polyops._bench.device_clock import Clock

SEED = int(os.environ.get("TORCH_TESTS_SEED", "0"))


def pytest_report_header() -> str:
    return f"polyops: TORCH_TESTS_SEED={SEED}, {torch.get_num_threads()} threads"


@pytest.fixture
def lifted() -> Iterator[None]:
    """Gates lifted, all ops on, counters at zero, warnings not once but always; undone after."""
    gate, always = polyops._C.gate(), torch.is_warn_always_enabled()
    threads = torch.get_num_threads()
    polyops._C.set_gate(False)
    torch.set_warn_always(True)
    torch.manual_seed(SEED)
    polyops.reset_stats()
    with polyops.enable():
        yield
    torch.set_num_threads(threads)
    torch.set_warn_always(always)
    polyops._C.set_gate(gate)


@pytest.fixture
def module() -> FakeModule:
    return FakeModule()


@pytest.fixture
def target(module, monkeypatch) -> Device:
    """A device whose module that is, timed in few rounds."""
    monkeypatch.setattr(measure, "ROUNDS", 3)
    monkeypatch.setattr(measure, "MOST_NS", 0)
    device = Device("cpu", module)
    device.clock = Clock("cpu", module, 1 << 16)
    return device


@pytest.fixture
def stock() -> Callable[[torch.nn.Module, torch.Tensor], torch.Tensor]:
    def run(net: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        with polyops.disable():
            return net(x).detach()

    return run


@pytest.fixture
def seed() -> int:
    return SEED
