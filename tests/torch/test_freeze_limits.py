"""What polyops.freeze() packs and what it leaves, and how long packs live."""

import gc
import subprocess
import sys

import pytest
import torch
from frozen import model, readers, tokens
from packers import own_packer, why_no_convolutions
from torch import nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


NO_CONVOLUTIONS = why_no_convolutions()


def test_packs_die_with_their_weights():
    net = model()
    frozen = polyops.freeze(net)
    assert frozen.nbytes > 0
    del net
    gc.collect()
    assert frozen.packed == {}


def test_packs_of_weights_that_moved_go_with_time():
    """Nothing asks for them anymore; products with other weights let go of them."""
    net = model()
    frozen = polyops.freeze(net)
    pack = next(iter(frozen._ids.values()))
    net.to(torch.float64)
    for _ in range(256):
        net(tokens(dtype=torch.float64))
    held = polyops._C.pack_count()
    assert held == 0 and polyops._C.pack_bytes(pack) is None


def test_memory_is_bounded_and_reported():
    net = model()
    all_of_it = polyops.freeze(net)
    sizes = all_of_it.packed
    assert list(sizes) == ["0.weight", "2.weight"]
    for name, size in sizes.items():
        # Filled up to whole vectors.
        rows, columns = net.get_parameter(name).shape
        assert rows * columns * 4 <= size <= -(-rows // 64) * -(-columns // 64) * 64 * 64 * 4
    assert all_of_it.nbytes == sum(sizes.values())
    assert repr(all_of_it) == "<polyops.Frozen: 2 weights, 0.1 MB>"
    all_of_it.unfreeze()
    little = polyops.freeze(net, max_bytes=sizes["2.weight"])
    assert list(little.packed) == ["2.weight"] and little.left == {"0.weight": "over max_bytes"}
    none = polyops.freeze(net, max_bytes=0)
    assert not none.packed and set(none.left) == {"0.weight", "2.weight"}
    # What a second freeze() does not pack, it drops: torch may not have counted a write before.
    assert not little.packed


def test_what_fails_halfway_packs_nothing(monkeypatch):
    before, pack = polyops._C.pack_count(), polyops._C.pack_matrix

    def once(weight, **terms):
        monkeypatch.setattr(polyops._C, "pack_matrix", None)
        return pack(weight, **terms)

    monkeypatch.setattr(polyops._C, "pack_matrix", once)
    net = model()  # whose death would end the packs, too
    with pytest.raises(TypeError):
        polyops.freeze(net)
    assert polyops._C.pack_count() == before


def test_a_weight_that_is_shared_is_packed_once():
    net = nn.ModuleList([nn.Linear(70, 130), nn.Linear(70, 130)])
    net[1].weight = net[0].weight
    frozen = polyops.freeze(net)
    assert list(frozen.packed) == ["0.weight"]
    assert readers(net[1], tokens()) == 1


def test_what_is_left_is_said():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(5, 6, dtype=torch.complex64))
    net.extend(
        [nn.Linear(5, 6, device="meta"), nn.Linear(0, 4), nn.Linear(5, 6), nn.Conv2d(3, 8, 3)]
    )
    net[4].weight = nn.Parameter(torch.ones(5))
    net[5].weight = nn.Parameter(torch.ones(8, 3, 3))
    with own_packer():
        frozen = polyops.freeze(net)
    assert not frozen.packed
    assert frozen.left == {
        "0.weight": NO_CONVOLUTIONS or "gains nothing in float32",
        "1.weight": "dtype",
        "2.weight": "no kernel of this device reads packed weights",
        "3.weight": "layout",
        "4.weight": "rank 1",
        "5.weight": "rank 3",
    }
    assert "6 left as they are" in repr(frozen)


def test_what_is_left_of_convolutions_is_said():
    bf16 = torch.bfloat16
    net = nn.Sequential(
        nn.Conv2d(64, 8, 1, dtype=bf16),
        nn.Conv2d(3, 8, 3, dtype=bf16),
        nn.ConvTranspose2d(64, 8, 3, dtype=bf16),
        nn.Conv2d(64, 8, 3),
        nn.LazyConv2d(8, 3),
    )
    reasons = [
        NO_CONVOLUTIONS or "1 x 1: read where it lies",
        NO_CONVOLUTIONS or "channels",
        "transposed",
        NO_CONVOLUTIONS or "gains nothing in float32",
        "not a plain parameter",
    ]
    with own_packer():
        assert list(polyops.freeze(net).left.values()) == reasons


def test_a_chip_on_which_nothing_was_measured(monkeypatch):
    """Packs that no product will read are not made; the benchmark, which measures them, asks so."""
    monkeypatch.setenv("POLYOPS_CPU_ISA", "scalar")  # no gate file has points of these kernels
    code = """
import torch, polyops
layer = torch.nn.Linear(70, 130)
print(polyops.freeze(layer).left, polyops._C.pack_matrix(layer.weight, gated=False)[1])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in (
        "{'weight': 'gate: not measured'} None",
        "{} None",  # a chip without a gate file: others' points decide call by call
    )


def test_weights_that_are_no_plain_parameters_are_left():
    parametrized = nn.utils.parametrizations.weight_norm(nn.Linear(5, 6))
    frozen = polyops.freeze(nn.ModuleList([parametrized, nn.LazyLinear(3)]))
    assert frozen.left == dict.fromkeys(["0.weight", "1.weight"], "not a plain parameter")


def test_a_weight_made_in_inference_mode_is_left():
    with torch.inference_mode():
        layer = nn.Linear(70, 130)
    frozen = polyops.freeze(layer)
    assert list(frozen.left.values()) == ["made in inference mode, where torch counts no changes"]


def test_wrong_arguments():
    with pytest.raises(TypeError, match=r"takes an nn\.Module, not Tensor"):
        polyops.freeze(torch.zeros(3))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_bytes is -1"):
        polyops.freeze(model(), max_bytes=-1)
