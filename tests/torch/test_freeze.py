"""polyops.freeze(): results, and what reads the packs."""

import copy
import pickle
import threading

import pytest
import torch
import torch.nn.functional as F
from frozen import check, model, readers, tokens
from torch import Tensor, nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")


DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


def can_pack(dtype: torch.dtype) -> bool:
    """bfloat16 where the machine multiplies it."""
    _, reason = polyops._C.pack_matrix(torch.randn(3, 3, dtype=dtype), gated=False)
    return reason is None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rows", [2, 9, 200])
def test_results_are_those_of_the_model(dtype, rows, stock):
    net, x = model(dtype), tokens(rows, dtype)
    if not can_pack(dtype):
        frozen = polyops.freeze(net)
        assert not frozen.packed and set(frozen.left.values()) <= {"dtype", "no AMX"}
        return
    expected = stock(net, x)
    with polyops.freeze(net) as frozen:
        assert set(frozen.packed) == {"0.weight", "2.weight"} and not frozen.left
        assert readers(net, x) == 2
        check(net, x, expected)
    assert readers(net, x) == 0
    check(net, x, expected)


def test_one_row_is_left_to_the_kernel_that_reads_the_weight_itself():
    net = model()
    polyops.freeze(net)
    assert readers(net, tokens(1)) == 0


def test_any_product_with_the_weight_reads_the_pack():
    weight, x = nn.Parameter(torch.randn(130, 70)), tokens()
    layer = nn.Linear(70, 130)
    layer.weight = weight
    polyops.freeze(layer)
    out = torch.empty(9, 130)
    for call in (
        lambda: x @ weight.t(),
        lambda: torch.mm(x, weight.detach().t(), out=out),
        lambda: torch.addmm(out, x, weight.t(), beta=0.5, alpha=2),
        lambda: F.linear(x.view(3, 3, 70), weight),
        lambda: torch.zeros(9, 130).addmm_(x, weight.t()),
    ):
        assert readers(call) == 1
    # Another matrix in the same memory is not what was packed.
    for call in (
        lambda: x[:, :60] @ weight[:, :60].t(),
        lambda: x @ weight[:64].t(),
        lambda: x @ weight.view(70, 130),
        lambda: torch.randn(9, 130) @ weight,
    ):
        assert readers(call) == 0


def test_the_model_knows_nothing_of_it():
    net = model()
    before = {name: (value.clone(), value._version) for name, value in net.state_dict().items()}
    attributes = [dict(vars(m)) for m in net.modules()]
    frozen = polyops.freeze(net)
    assert [dict(vars(m)).keys() for m in net.modules()] == [a.keys() for a in attributes]
    state = net.state_dict()
    assert list(state) == list(before)
    for name, value in state.items():
        old, version = before[name]
        assert torch.equal(value, old) and value._version == version
    for other in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert readers(other, tokens()) == 0
        torch.testing.assert_close(other(tokens()), net(tokens()))
    assert readers(net, tokens()) == 2
    frozen.unfreeze()
    frozen.unfreeze()


def test_gradients_flow_as_before():
    net, twin = model(), model()
    polyops.freeze(net)
    for each in (net, twin):
        each(tokens()).square().sum().backward()
    for mine, theirs in zip(net.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_inference_mode_and_no_grad():
    net = model()
    polyops.freeze(net)
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            assert readers(net, tokens()) == 2


def test_disabled_ops_do_not_read_packs(stock):
    net = model()
    polyops.freeze(net)
    with polyops.disable("addmm", "mm"):
        assert polyops.explain(net, tokens()).calls[0].overload == "aten::relu"
    check(net, tokens(), stock(net, tokens()))


def test_threads_that_multiply_change_and_freeze():
    """Each result is that of one of the two weights that there are, never of a mixture of times."""
    layer, x = nn.Linear(128, 128, bias=False), torch.randn(16, 128)
    values = [torch.randn(128, 128), torch.randn(128, 128)]
    with polyops.disable(), torch.no_grad():
        layer.weight.copy_(values[0])
        wanted = [x @ value.t() for value in values]
    stop = threading.Event()
    wrong: list[str] = []

    def near(found: Tensor) -> bool:
        return any(torch.allclose(found, want, atol=1e-4) for want in wanted)

    def multiply() -> None:
        while not stop.is_set():
            with torch.no_grad():
                if not near(layer(x)):
                    wrong.append("a result of neither weight")

    threads = [threading.Thread(target=multiply) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(200):
        frozen = polyops.freeze(layer)
        if turn % 2:
            frozen.unfreeze()
        layer.weight.data = values[turn % 2].clone()
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong


def test_compiled_model_reads_the_packs_and_notices_changes(stock):
    torch._dynamo.reset()
    net = model()
    polyops.freeze(net)
    compiled = torch.compile(net, backend="aot_eager")
    with torch.no_grad():
        assert readers(compiled, tokens()) == 2
        check(compiled, tokens(), stock(net, tokens()))
        for p in net.parameters():
            p.mul_(2)
        check(compiled, tokens(), stock(net, tokens()))
        assert readers(compiled, tokens()) == 0
