"""nn.Conv1d, Conv2d and Conv3d in the ways in which PyTorch calls them."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from both import CallParts, Outcome, assert_same_but_values, hits, reasons, run, run_stock
from samples import BF16, F32, F64
from torch import Tensor, nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

LEAF, BACKWARD = "aten::convolution", "aten::convolution_backward"


def close(ours: Tensor, stock: Tensor, units: float = 100) -> None:
    """Of a program of several ops: 100 units in the last place of the largest value."""
    assert (ours.dtype, ours.stride()) == (stock.dtype, stock.stride())
    limit = units * torch.finfo(stock.dtype).eps * stock.abs().max().item()
    assert (ours.double() - stock.double()).abs().max().item() <= limit


def compare(call: Callable[[], CallParts]) -> Outcome:
    stock, ours = run_stock(call), run(call)
    assert_same_but_values(stock, ours)
    for mine, theirs in zip(ours.results, stock.results, strict=True):
        if isinstance(theirs, Tensor):
            close(mine.detach(), theirs.detach())
    return ours


def randn(*sizes: int, seed: int = 0, dtype: torch.dtype = F32) -> Tensor:
    return torch.randn(sizes, generator=torch.Generator().manual_seed(seed)).to(dtype)


def both_ways(make: Callable[[], nn.Module], *inputs: Tensor) -> Callable[[], CallParts]:
    """A layer's results, and the gradients of its inputs and parameters."""

    def gradients() -> list[Tensor]:
        torch.manual_seed(0)
        layer = make().to(inputs[0].dtype)
        given = [t.clone(memory_format=torch.preserve_format).requires_grad_() for t in inputs]
        out = layer(*given)
        incoming = randn(*out.shape, seed=7, dtype=out.dtype)
        return [out, *torch.autograd.grad(out, [*given, *layer.parameters()], incoming)]

    return lambda: (gradients, (), {})


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda: nn.Conv1d(6, 8, 5, stride=2, padding=2), (2, 6, 31)),
    "Conv1d without batch": (lambda: nn.Conv1d(6, 8, 3), (6, 31)),
    "Conv2d": (lambda: nn.Conv2d(6, 8, 3, padding=1), (2, 6, 12, 13)),
    "Conv2d without batch": (lambda: nn.Conv2d(6, 8, 3, bias=False), (6, 12, 13)),
    "Conv2d 1x1": (lambda: nn.Conv2d(16, 24, 1), (2, 16, 9, 9)),
    "Conv2d same": (lambda: nn.Conv2d(6, 8, 3, padding="same"), (2, 6, 12, 13)),
    "Conv2d same, even": (lambda: nn.Conv2d(6, 8, 4, padding="same"), (2, 6, 12, 13)),
    "Conv2d circular": (
        lambda: nn.Conv2d(6, 8, 3, padding=1, padding_mode="circular"),
        (2, 6, 12, 13),
    ),
    "Conv2d dilated": (lambda: nn.Conv2d(6, 8, 3, padding=2, dilation=2), (2, 6, 12, 13)),
    "Conv2d grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2), (2, 6, 12, 13)),
    "Conv2d depthwise": (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), (2, 6, 12, 13)),
    "Conv3d": (lambda: nn.Conv3d(3, 4, 3, padding=1), (2, 3, 5, 6, 7)),
}


@pytest.mark.parametrize("dtype", [F32, F64])
@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, dtype: torch.dtype) -> None:
    make, sizes = LAYERS[name]
    ours = compare(both_ways(make, randn(*sizes, dtype=dtype)))
    assert hits(ours) == [LEAF, BACKWARD]


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_transposed_layers_are_stock(rank: int) -> None:
    make = getattr(nn, f"ConvTranspose{rank}d")
    ours = compare(both_ways(lambda: make(4, 5, 3, stride=2), randn(2, 4, *[6] * rank)))
    assert set(reasons(ours)) == {"transposed"}


def block(groups: int) -> Callable[[], nn.Module]:
    layers = (nn.Conv2d, nn.BatchNorm2d)
    return lambda: nn.Sequential(
        layers[0](8, 8, 3, padding=1, groups=groups, bias=False),
        layers[1](8),
        nn.ReLU(),
        layers[0](8, 12, 1),
    )


@pytest.mark.parametrize("model_too", [True, False], ids=["model too", "input alone"])
@pytest.mark.parametrize("groups", [1, 8])
def test_channels_last(groups: int, model_too: bool) -> None:
    last = torch.channels_last
    x = randn(2, 8, 10, 11).contiguous(memory_format=last)
    make = block(groups)
    ours = compare(both_ways(lambda: make().to(memory_format=last) if model_too else make(), x))
    assert ours.results[0].is_contiguous(memory_format=last)
    assert hits(ours).count(LEAF) == 2
    # Stock's libraries disagree about the gradient of filters that are not channels last, if they
    # have one tap or channel.
    left = 0 if model_too else 1 if groups == 1 else 2
    assert reasons(ours) == ["layout"] * left
    assert hits(ours).count(BACKWARD) == 2 - left


@pytest.mark.parametrize("wanted", [(True, False), (False, True), (False, False)])
def test_frozen_parameters(wanted: tuple[bool, bool]) -> None:
    """Adapters: only what trains gets a gradient; a bias alone is stock's."""

    def gradients() -> list[Tensor]:
        torch.manual_seed(0)
        layer = nn.Conv2d(4, 6, 3)
        layer.weight.requires_grad_(wanted[0])
        layer.bias.requires_grad_(wanted[1])
        x = randn(2, 4, 9, 9).requires_grad_()
        trained = [p for p in layer.parameters() if p.requires_grad]
        return list(torch.autograd.grad(layer(x).square().sum(), [x, *trained]))

    ours = compare(lambda: (gradients, (), {}))
    alone = wanted == (False, True)
    assert hits(ours) == [LEAF] if alone else [LEAF, BACKWARD]
    assert reasons(ours) == (["gradient of a bias alone"] if alone else [])


def conv_call(x: Tensor, w: Tensor) -> Callable[[], CallParts]:
    return lambda: (F.conv2d, (x, w), {"padding": 1})


X, W = randn(2, 8, 9, 9), randn(8, 8, 3, 3, seed=1)


def test_reduced_precision_is_stock() -> None:
    conv = torch.backends.mkldnn.conv
    before = conv.fp32_precision
    conv.fp32_precision = "bf16"
    try:
        assert reasons(run(conv_call(X, W))) == ["bfloat16 products are allowed"]
        assert hits(run(conv_call(X.double(), W.double()))) == [LEAF]
    finally:
        conv.fp32_precision = before
    assert hits(run(conv_call(X, W))) == [LEAF]


def test_precision_of_products_is_not_that_of_convolutions() -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        assert hits(compare(conv_call(X, W))) == [LEAF]
    finally:
        torch.set_float32_matmul_precision(before)


def test_without_onednn() -> None:
    """Stock's other libraries give the same layouts but for some that are channels last."""
    last = X.contiguous(memory_format=torch.channels_last)
    with torch.backends.mkldnn.flags(enabled=False):
        assert hits(compare(conv_call(X, W))) == [LEAF]
        assert reasons(compare(conv_call(last, W))) == ["layout"]
    assert hits(compare(conv_call(last, W))) == [LEAF]


def test_out_is_a_copy_of_ours() -> None:
    def call() -> CallParts:
        values = (X, W, None, [1], [1], [1], False, [0], 1)
        return torch.ops.aten.convolution.out, values, {"out": torch.zeros(2, 8, 9, 9)}

    assert hits(compare(call)) == [LEAF]


def test_onednn_tensors_do_not_reach_us() -> None:
    assert run(lambda: (F.conv2d, (X.to_mkldnn(), W), {})).calls == ()


def test_copy_on_write_inputs_stay_shared() -> None:
    inputs = [torch._lazy_clone(t) for t in (X, W, randn(8))]
    F.conv2d(*inputs)
    assert polyops.stats()["convolution"]["hits"] == 1
    assert all(map(torch._C._is_cow_tensor, inputs))


@pytest.mark.parametrize("threads", [1, 2])
def test_results_repeat_bit_for_bit(threads: int) -> None:
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        for groups in (1, 16):
            make = lambda g=groups: nn.Conv2d(16, 16, 3, padding=1, groups=g)  # noqa: E731
            call = both_ways(make, randn(4, 16, 30, 31))
            first = compare(call)
            assert hits(first) == [LEAF, BACKWARD]
            for _ in range(4):
                assert all(map(torch.equal, first.results, run(call).results))
    finally:
        torch.use_deterministic_algorithms(False)


def test_autocast() -> None:
    """In bfloat16, whoever takes it: stock's dtypes and layouts, near its values."""

    def step(groups: int) -> list[Tensor]:
        torch.manual_seed(0)
        model = block(groups)()
        with torch.autocast("cpu", dtype=BF16):
            out = model(X)
        return [out, *torch.autograd.grad(out.float().square().mean(), list(model.parameters()))]

    for groups in (1, 8):
        with polyops.disable():
            stock = step(groups)
        explained = polyops.explain(step, groups)
        assert {LEAF, BACKWARD} <= {call.overload for call in explained.calls}
        for mine, theirs in zip(explained.result, stock, strict=True):
            assert (mine.dtype, mine.stride()) == (theirs.dtype, theirs.stride())
            assert (mine - theirs).abs().max() <= 0.05 * theirs.abs().max()
    assert polyops.stats()["convolution"]["hits"] > 0


def net(x: Tensor, w: Tensor, d: Tensor) -> Tensor:
    """A residual block of a full and a depthwise convolution."""
    h = F.relu(F.conv2d(x, w, padding=1))
    return x + F.conv2d(h, d, padding=1, groups=d.shape[0])


def operands(dtype: torch.dtype = F32) -> tuple[Tensor, Tensor, Tensor]:
    made = randn(2, 4, 8, 8), randn(4, 4, 3, 3, seed=1), randn(4, 1, 3, 3, seed=2)
    return tuple(t.to(dtype) for t in made)  # type: ignore[return-value]


@pytest.mark.parametrize("backend", ["inductor", "aot_eager"])
def test_compile(backend: str) -> None:
    """Inductor leaves convolutions to aten, forward and backward."""
    torch._dynamo.reset()
    compiled = torch.compile(net, backend=backend)

    def gradients(fn: Callable[..., Tensor]) -> list[Tensor]:
        inputs = [t.clone().requires_grad_() for t in operands()]
        out = fn(*inputs)
        return [out.detach(), *torch.autograd.grad(out.square().mean(), inputs)]

    with polyops.disable():
        stock = gradients(compiled)
    explained = polyops.explain(gradients, compiled)
    for mine, theirs in zip(explained.result, stock, strict=True):
        close(mine, theirs)
    assert {LEAF, BACKWARD} <= {call.overload for call in explained.calls if call.kernel}


def test_vmap() -> None:
    """Batches of inputs, of weights and of both become one grouped convolution."""
    x, w, d = operands()
    stacks = [torch.stack([t, t + 1, t * 2]) for t in (x, w, d)]
    for dims in ((0, None, None), (None, 0, 0), (0, 0, 0)):
        given = [s if dim == 0 else s[0] for s, dim in zip(stacks, dims, strict=True)]
        polyops.reset_stats()
        mapped = torch.vmap(net, in_dims=dims)(*given)
        assert polyops.stats()["convolution"]["hits"] > 0
        for i in range(3):
            one = [s[i] if dim == 0 else s[0] for s, dim in zip(stacks, dims, strict=True)]
            close(mapped[i].contiguous(), net(*one))


@pytest.mark.parametrize("transform", ["grad", "vjp", "jvp", "jacrev", "jacfwd", "hessian"])
def test_functorch(transform: str) -> None:
    x, w, d = operands(F64)

    def loss(scale: Tensor) -> Tensor:
        return net(x * scale, w * scale, d).square().mean()

    def value() -> list[Tensor]:
        one = torch.ones(1, dtype=F64)
        if transform == "vjp":
            result, pull = torch.func.vjp(loss, one)
            return [result, *pull(torch.ones_like(result))]
        if transform == "jvp":
            return list(torch.func.jvp(loss, (one,), (one,)))
        return [getattr(torch.func, transform)(loss)(one)]

    with polyops.disable():
        stock = value()
    explained = polyops.explain(value)
    for mine, theirs in zip(explained.result, stock, strict=True):
        close(mine, theirs)
    seen = {call.overload for call in explained.calls if call.kernel}
    assert LEAF in seen
    assert (BACKWARD in seen) == (transform not in ("jvp", "jacfwd"))


def test_per_sample_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 1))
    parameters = {k: v.detach() for k, v in model.named_parameters()}

    def loss(parameters: dict[str, Tensor], image: Tensor) -> Tensor:
        return torch.func.functional_call(model, parameters, (image[None],)).square().sum()

    per_sample = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))
    images = randn(4, 2, 8, 8)
    with polyops.disable():
        stock = per_sample(parameters, images)
    explained = polyops.explain(per_sample, parameters, images)
    assert LEAF in {call.overload for call in explained.calls if call.kernel}
    for name, theirs in stock.items():
        close(explained.result[name], theirs)


def test_inference_and_meta() -> None:
    with torch.inference_mode():
        assert F.conv2d(X, W).is_inference()
    assert polyops.stats()["convolution"]["hits"] == 1
    assert F.conv2d(X.to("meta"), W.to("meta")).shape == (2, 8, 7, 7)
    assert polyops.stats()["convolution"]["hits"] == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_windows_wider_than_memory(dtype: torch.dtype) -> None:
    """One pixel under the middle of 3 x 3 taps; the padded image has more than 2^63 of them."""
    x, w = randn(1, 32, 1, 1).to(dtype), randn(4, 32, 3, 3, seed=1).to(dtype)
    far = 2**31 - 1
    found = F.conv2d(x, w, padding=far, dilation=far)
    expected = F.conv2d(x, w[:, :, 1:2, 1:2].contiguous())
    torch.testing.assert_close(found, expected)


def test_float16_denormals_where_the_thread_flushes_those_of_float32() -> None:
    x, w = torch.full((1, 4, 64), 3e-7).half()[..., ::2], torch.full((3, 4, 2), 1000.0).half()
    with polyops.disable():
        expected = F.conv1d(x.contiguous(), w)
    try:
        assert torch.set_flush_denormal(True)
        found = F.conv1d(x, w)
    finally:
        torch.set_flush_denormal(False)
    assert expected.min() > 0
    torch.testing.assert_close(found, expected)
