"""What must make polyops.freeze() let go of a pack: every way to change a weight."""

import pytest
import torch
from frozen import check, model, readers, tokens
from torch import nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


@torch.no_grad()
def step(net: nn.Module) -> None:
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    with torch.enable_grad():
        net(tokens()).sum().backward()
    optimizer.step()


def adam(net: nn.Module, **how: bool) -> None:
    net(tokens()).sum().backward()
    torch.optim.Adam(net.parameters(), **how).step()


def compiled_step(net: nn.Module) -> None:
    torch._dynamo.reset()
    net(tokens()).sum().backward()
    torch.compile(torch.optim.Adam(net.parameters()).step, backend="aot_eager")()


def assign(net: nn.Module) -> None:
    net.load_state_dict(model().double().float().state_dict(), assign=True)


def replace_data(net: nn.Module) -> None:
    for p in net.parameters():
        p.data = torch.randn_like(p)


def view_of(net: nn.Module) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.view(-1)[0] = 3


def in_inference_mode(net: nn.Module) -> None:
    with torch.inference_mode():
        for p in net.parameters():
            p.mul_(2)


def detached(net: nn.Module) -> None:
    for p in net.parameters():
        p.detach().mul_(2)


def resized(net: nn.Module) -> None:
    """The storage stays, its memory does not."""
    for p in net.parameters():
        values = p.detach().clone()
        p.untyped_storage().resize_(0)
        p.untyped_storage().resize_(values.nbytes)
        with torch.no_grad():
            p.copy_(values * 2)


CHANGES = [
    step,
    adam,
    compiled_step,
    lambda net: adam(net, foreach=True),
    lambda net: adam(net, fused=True),
    lambda net: net.load_state_dict({name: 2 * value for name, value in net.state_dict().items()}),
    assign,
    replace_data,
    view_of,
    in_inference_mode,
    detached,
    resized,
    lambda net: [nn.init.normal_(p) for p in net.parameters()],
    lambda net: net.apply(lambda m: m.reset_parameters() if isinstance(m, nn.Linear) else None),
    lambda net: nn.utils.vector_to_parameters(
        torch.randn(sum(p.numel() for p in net.parameters())), net.parameters()
    ),
    lambda net: torch._foreach_mul_([p.detach() for p in net.parameters()], 2.0),
    lambda net: net.share_memory(),
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_changed_weight_is_never_served_stale(change, stock):
    net = model()
    frozen = polyops.freeze(net)
    assert readers(net, tokens()) == 2
    change(net)
    expected = stock(net, tokens())
    check(net, tokens(), expected)
    assert readers(net, tokens()) == 0
    assert frozen.packed == {} and frozen.nbytes == 0
    again = polyops.freeze(net)
    assert readers(net, tokens()) == 2
    check(net, tokens(), expected)
    again.unfreeze()


def test_a_change_of_one_weight_leaves_the_other(stock):
    net = model()
    frozen = polyops.freeze(net)
    with torch.no_grad():
        net[0].weight.add_(1)
    assert set(frozen.packed) == {"2.weight"}
    check(net, tokens(), stock(net, tokens()))
    assert readers(net, tokens()) == 1


@pytest.mark.parametrize("move", [torch.bfloat16, torch.float64])
def test_another_dtype(move, stock):
    net = model()
    frozen = polyops.freeze(net)
    net.to(move)
    x = tokens(dtype=move)
    check(net, x, stock(net, x))
    assert readers(net, x) == 0 and not frozen.packed


def test_writes_that_torch_does_not_count_are_out_of_contract():
    """As the docstring says: not noticed; unfreeze() or freeze() again takes the new values."""
    layer, x = nn.Linear(70, 130, bias=False), tokens()
    frozen = polyops.freeze(layer)
    layer.weight.data.zero_()
    assert set(frozen.packed) == {"weight"}
    polyops.freeze(layer)
    assert readers(layer, x) == 1 and layer(x).abs().max() == 0


def test_a_write_that_torch_does_not_count_before_a_freeze_without_room(stock):
    net = model()
    polyops.freeze(net)
    for p in net.parameters():
        p.data.mul_(2)
    assert not polyops.freeze(net, max_bytes=0).packed
    assert readers(net, tokens()) == 0
    check(net, tokens(), stock(net, tokens()))


@pytest.mark.parametrize("changed", [0, 1])
@pytest.mark.parametrize("times", [1, 3])
def test_weights_that_are_one_memory_and_count_their_changes_apart(changed, times, stock):
    net = nn.ModuleList([nn.Linear(70, 130), nn.Linear(70, 130)])
    net[1].weight.data = net[0].weight.data
    for _ in range(times):
        polyops.freeze(net)
    assert readers(net[0], tokens()) == readers(net[1], tokens()) == 1
    with torch.no_grad():
        net[changed].weight.mul_(2)
    for layer in net:
        assert readers(layer, tokens()) == 0
        check(layer, tokens(), stock(layer, tokens()))
