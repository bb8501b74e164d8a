"""How calls are timed on a device: rotated inputs, events, turns."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from test_cli import small

import polyops
from polyops._bench.device import Device
from polyops._bench.device_clock import BRIEF, Clock
from polyops._bench.inputs import Case
from polyops._bench.rotation import MOST_COPIES, Rotation, copies

CASE = Case(lambda: None, list, 4000, 0, 4000)


# --- rotation ------------------------------------------------------------------------------------


def test_rotation_goes_through_its_calls():
    rotation = Rotation([partial(pow, 2, exp=1), partial(pow, 3, exp=2)])
    assert [rotation() for _ in range(3)] == [2, 9, 2]
    other = rotation.through(lambda base, exp: (base, exp))
    assert [other() for _ in range(3)] == [(2, 1), (3, 2), (2, 1)]
    with pytest.raises(TypeError):
        Rotation([lambda: 0]).through(print)


@pytest.mark.parametrize(
    ("footprint", "expected"), [(299, 3), (300, 1), (1000, 1), (100, 6), (70, 9), (1, MOST_COPIES)]
)
def test_inputs_of_all_copies_are_thrice_the_cache(footprint, expected):
    case = Case(lambda: None, list, footprint, 0, footprint)
    assert copies(case, 100) == expected


def test_copies_are_tensors_of_their_own(target):
    spec = small("relu", (8, 8), "contiguous", "float32")
    rotation = target.prepared(spec).fn
    pointers = {call.args[0].data_ptr() for call in rotation.calls}
    assert len(pointers) == len(rotation.calls) == 12  # 512 bytes each, against 3 x 1024 of inputs


# --- time ----------------------------------------------------------------------------------------


def test_interleaved_times_are_the_devices(target, module):
    fn = partial(module.work, 0)

    def call():
        module.work(500 if polyops.is_patched() else 1000)

    assert polyops.is_patched()
    timing = target.time(replace(CASE, fn=call), {"other": partial(module.work, 2000)})
    assert polyops.is_patched()
    assert timing.ratio == pytest.approx(2, rel=0.1)
    assert timing.stock_us == pytest.approx(1000, rel=0.1)
    assert timing.polyops_us == pytest.approx(500, rel=0.1)
    assert timing.others["other"]["us"] == pytest.approx(2000, rel=0.1)
    assert timing.others["other"]["ratio"] == pytest.approx(0.5, rel=0.1)
    assert 0 < timing.host_stock_us < 500
    assert timing.gate_ratio == timing.ratio
    assert target.time(replace(CASE, fn=fn)).others == {}


def test_brief_times_are_four_rounds_of_a_sample(module):
    calls = {False: 0, True: 0}

    def call():
        calls[polyops.is_patched()] += 1
        module.work(5000)

    device = Device("cpu", module, effort=BRIEF)
    device.time(replace(CASE, fn=call))
    # Once and three samples of three calls to warm up, host and device, then four rounds of a call
    # and one sample of one.
    assert calls == {False: 1 + 18 + 4 * 3, True: 1 + 18 + 4 * 3}


def test_device_is_busy_while_a_batch_is_issued(module):
    clock = Clock("cpu", module, 1 << 16)
    clock._copy_us = 10.0
    busy = []
    clock._keep_busy = lambda: busy.append(1)
    clock.device_us(lambda: None, 1, 95.0)
    assert len(busy) == 10
    clock.device_us(lambda: None, 1, 0)
    assert len(busy) == 10


def test_moving_goes_through_the_memory(module, monkeypatch):
    clock = Clock("cpu", module, 1 << 16)
    moved = []

    def neg(x: torch.Tensor, *, out: torch.Tensor) -> None:
        moved.append((x.nbytes + out.nbytes, x.data_ptr()))
        module.work(300.0)

    monkeypatch.setattr(torch, "neg", neg)
    assert clock.moving_us(1 << 15) == pytest.approx(300.0, rel=0.1)
    assert {nbytes for nbytes, _ in moved} == {1 << 15}
    assert len({place for _, place in moved}) == 4
    calls = len(moved)
    clock.moving_us(1 << 15)
    assert len(moved) == calls  # it is known
    assert clock.moving_us(1 << 30) == pytest.approx((1 << 30) / clock.copy_gbs / 1e3)
    assert len(moved) == calls
