"""polyops.freeze() of convolutions: what it packs, who reads it, what makes it let go.

What the kernels compute, tests/kernels/convolution_prepacked_test.cc covers.
"""

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from packers import own_packer, why_no_convolutions
from torch import Tensor, nn

import polyops

pytestmark = [
    pytest.mark.usefixtures("lifted", "packer"),
    pytest.mark.skipif(why_no_convolutions() is not None, reason="packs no convolutions here"),
]


@pytest.fixture
def packer() -> Iterator[None]:
    with own_packer():
        yield


def readers(fn: Callable[..., object], *args: object) -> int:
    calls = polyops.explain(fn, *args).calls
    return sum("convolution_prepacked" in (call.kernel or "") for call in calls)


def images(*sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(2)).bfloat16()


def check(net: nn.Module, x: Tensor) -> None:
    """Near the float64 result, and in stock's layout."""
    found = net(x)
    with polyops.disable():
        stock = net(x)
        exact = net.double()(x.double())
    assert found.stride() == stock.stride()
    unit = torch.finfo(torch.bfloat16).eps
    torch.testing.assert_close(found.double(), exact, rtol=unit, atol=unit / 4)


def one(taps: int = 3, **how: object) -> nn.Module:
    torch.manual_seed(1)
    return nn.Conv2d(64, 24, taps, **how).bfloat16()  # type: ignore[arg-type]


SAMPLES = [
    (one(), (2, 64, 9, 11)),
    (one(bias=False, padding="same"), (2, 64, 9, 11)),
    (one(padding="valid", stride=2), (1, 64, 9, 11)),
    (one(padding=2, padding_mode="circular"), (2, 64, 9, 11)),
    (one(padding=(1, 0), dilation=2, groups=2), (2, 64, 9, 11)),
    (one(5, padding=2), (64, 9, 11)),  # without a batch
    (nn.Conv1d(32, 70, 3, stride=2).bfloat16(), (3, 32, 40)),
    (nn.Conv3d(32, 33, (1, 3, 2), padding=(0, 1, 1)).bfloat16(), (2, 32, 3, 4, 18)),
]


@pytest.mark.parametrize(("net", "sizes"), SAMPLES)
@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels_last"])
def test_results_are_those_of_the_model(net, sizes, last):
    x = images(*sizes)
    if last:
        if x.dim() != 4:
            pytest.skip("channels_last has rank 4")
        x, net = (t.to(memory_format=torch.channels_last) for t in (x, net))
    net = net.bfloat16()
    with polyops.freeze(net) as frozen, torch.no_grad():
        assert set(frozen.packed) == {"weight"} and not frozen.left
        assert readers(net, x) == 1
        check(net, x)
    net.bfloat16()
    assert readers(net, x) == 0


def test_other_calls_with_the_same_weight():
    net, x = one(groups=2), images(1, 64, 9, 11)
    polyops.freeze(net)
    weight = net.get_parameter("weight")
    with torch.no_grad():
        # Another window reads the pack too,
        for window in ({"stride": 2}, {"padding": 2}, {"dilation": 3}):
            assert readers(lambda w=window: F.conv2d(x, weight, groups=2, **w)) == 1
        # not so other groups, or other weights in the same memory.
        assert readers(lambda: F.conv2d(x[:, :32], weight)) == 0
        assert readers(lambda: F.conv2d(x, weight[:12], groups=2)) == 0
        assert readers(lambda: F.conv2d(x, weight.transpose(2, 3), groups=2)) == 0


CHANGES = [
    lambda net: net.get_parameter("weight").mul_(2),
    lambda net: net.load_state_dict({k: 2 * v for k, v in net.state_dict().items()}),
    lambda net: net.load_state_dict({k: 2 * v for k, v in net.state_dict().items()}, assign=True),
    lambda net: net.to(torch.float32).to(torch.bfloat16),
    lambda net: setattr(net.weight, "data", torch.randn_like(net.weight)),
    lambda net: net.to(memory_format=torch.channels_last),
    lambda net: torch.optim.SGD(net.parameters(), lr=0.1).step(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_weight_is_never_served_stale(change):
    net, x = one(), images(2, 64, 9, 11)
    frozen = polyops.freeze(net)
    with torch.no_grad():
        assert readers(net, x) == 1
        change(net)
        assert readers(net, x) == 0 and not frozen.packed
        check(net, x)


def test_memory_is_bounded_and_reported():
    net = nn.Sequential(one(), nn.ReLU(), one())
    frozen = polyops.freeze(net)
    size = 32 * 64 * 9 * 2  # 24 filters filled up to a panel of 32
    assert frozen.packed == {"0.weight": size, "2.weight": size}
    assert frozen.nbytes == 2 * size
    frozen.unfreeze()
    assert polyops.freeze(net, max_bytes=size).left == {"2.weight": "over max_bytes"}


@pytest.mark.parametrize("stride", [2, (2,), (2, 1)])
def test_attributes_that_were_set_to_one_number_for_all_dimensions(stride):
    net, x = one(), images(2, 64, 9, 11)
    net.stride, net.padding, net.dilation = stride, 1, 1
    with torch.no_grad():
        assert set(polyops.freeze(net).packed) == {"weight"}
        assert readers(net, x) == 1
        check(net, x)


def test_gradients_flow_as_before():
    nets, x = (one(), one()), images(2, 64, 9, 11)
    polyops.freeze(nets[0])
    for net in nets:
        net(x).square().sum().backward()
    for mine, theirs in zip(nets[0].parameters(), nets[1].parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad, rtol=0.02, atol=0.02)


def test_compiled_model_reads_the_packs():
    torch._dynamo.reset()
    net, x = one(), images(2, 64, 9, 11)
    polyops.freeze(net)
    compiled = torch.compile(net, backend="aot_eager")
    with torch.no_grad():
        assert readers(compiled, x) == 1
