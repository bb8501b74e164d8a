"""polyops.freeze(): what it packs, what reads it, and everything that must make it let go."""

import copy
import gc
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from packers import own_packer, why_no_convolutions
from torch import Tensor, nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


NO_CONVOLUTIONS = why_no_convolutions()


def model(dtype: torch.dtype = torch.float32) -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(70, 130), nn.ReLU(), nn.Linear(130, 40, bias=False)).to(dtype)


def tokens(rows: int = 9, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(rows, 70, generator=torch.Generator().manual_seed(2)).to(dtype)


def readers(fn: Callable[..., object], *args: object) -> int:
    """Calls that read a pack."""
    calls = polyops.explain(fn, *args).calls
    return sum("_prepacked" in (call.kernel or "") for call in calls)


@pytest.fixture
def stock() -> Callable[[nn.Module, Tensor], Tensor]:
    def run(net: nn.Module, x: Tensor) -> Tensor:
        with polyops.disable():
            return net(x).detach()

    return run


def check(net: nn.Module, x: Tensor, expected: Tensor) -> None:
    """Sums of one scale: what is left of those that cancel is no measure."""
    unit = torch.finfo(x.dtype).eps * expected.abs().max().item()
    torch.testing.assert_close(net(x), expected, rtol=0, atol=8 * unit)


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


def test_a_write_that_torch_does_not_count_before_a_freeze_without_room(stock):
    net = model()
    polyops.freeze(net)
    for p in net.parameters():
        p.data.mul_(2)
    assert not polyops.freeze(net, max_bytes=0).packed
    assert readers(net, tokens()) == 0
    check(net, tokens(), stock(net, tokens()))


def test_a_weight_that_is_shared_is_packed_once():
    net = nn.ModuleList([nn.Linear(70, 130), nn.Linear(70, 130)])
    net[1].weight = net[0].weight
    frozen = polyops.freeze(net)
    assert list(frozen.packed) == ["0.weight"]
    assert readers(net[1], tokens()) == 1


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


def test_what_is_left_is_said():
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Linear(5, 6, dtype=torch.complex64))
    net.extend([nn.Linear(5, 6, device="meta"), nn.Linear(0, 4)])
    with own_packer():
        frozen = polyops.freeze(net)
    assert not frozen.packed
    assert frozen.left == {
        "0.weight": NO_CONVOLUTIONS or "gains nothing in float32",
        "1.weight": "dtype",
        "2.weight": "no kernel of this device reads packed weights",
        "3.weight": "layout",
    }
    assert "4 left as they are" in repr(frozen)


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
