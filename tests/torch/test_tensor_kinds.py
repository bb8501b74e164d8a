"""Tensors that are more than plain memory: shared, versioned, viewed, named, of zeros."""

import pytest
import torch
import torch.nn.functional as F
from programs import FORWARD_OPS, all_hits, hit_ops, program, tensors

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


def is_shared(tensor: torch.Tensor) -> bool:
    return bool(torch._C._is_cow_tensor(tensor))


def test_copy_on_write_inputs_stay_shared() -> None:
    inputs = tensors()
    lazy = [torch._lazy_clone(t) for t in inputs]
    program(*lazy)
    F.relu(lazy[0])
    assert hit_ops() == FORWARD_OPS
    assert all(map(is_shared, lazy))


def test_copy_on_write_output_gets_its_own_memory() -> None:
    x = torch.randn(8, 8)
    kept = x.clone()
    lazy = torch._lazy_clone(x)
    with polyops.disable():
        right = F.relu(kept)
    F.relu(lazy, inplace=True)
    assert hit_ops() == {"relu"}
    assert torch.equal(lazy, right)
    assert torch.equal(x, kept)


def test_version_counters_and_saved_tensors() -> None:
    x = torch.randn(4, 5, requires_grad=True)
    y = x * 2
    before = y._version
    z = F.relu(y, inplace=True)
    assert z is y
    assert y._version == before + 1
    z.sum().backward()
    assert torch.equal(x.grad, (x > 0) * 2.0)
    a = torch.randn(4, 4, requires_grad=True)
    s = torch.softmax(a, -1)
    s.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        s.sum().backward()
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        F.relu(x, inplace=True)


def test_views_written_in_place() -> None:
    def run() -> list[torch.Tensor]:
        base = torch.linspace(-1, 1, 24).reshape(4, 6).requires_grad_(True)
        copy = base.clone()
        view = copy[1:3, ::2]
        torch.relu_(view)
        copy.sum().backward()
        return [copy.detach(), base.grad]

    with polyops.disable():
        stock = run()
    assert all(map(torch.equal, run(), stock))
    assert hit_ops() == {"relu"}


@pytest.mark.skipif(not hasattr(torch.Tensor, "rename"), reason="no named tensors in this torch")
def test_named_tensors_are_left_to_stock() -> None:
    named = torch.randn(3, 4).rename("a", "b")
    assert torch.softmax(named, "b").names == ("a", "b")
    assert all_hits() == 0


def test_zeros_without_memory_are_left_to_stock() -> None:
    """Forward mode makes them of undefined tangents; dot is called with them as they are."""
    x, zeros = torch.randn(5), torch._efficientzerotensor((5,))
    for a, b in ((x, zeros), (zeros, x)):
        explained = polyops.explain(torch.dot, a, b)
        assert explained.result._is_zerotensor()
        assert [call.kernel for call in explained.calls] == [None]
