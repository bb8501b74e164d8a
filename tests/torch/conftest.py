"""Fixtures of the torch tests. Seeds: TORCH_TESTS_SEED, printed in the header, 0 by default."""

import os
from collections.abc import Iterator

import pytest
import torch

import polyops

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
def seed() -> int:
    return SEED
