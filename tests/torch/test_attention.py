"""F.scaled_dot_product_attention and nn.MultiheadAttention."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from both import CallParts, assert_same_but_values, hits, reasons, run, run_stock
from samples import BF16, F32, F64
from torch import Tensor, nn

import polyops

pytestmark = pytest.mark.usefixtures("lifted")

LEAF = "aten::_scaled_dot_product_flash_attention_for_cpu"
BACKWARD = f"{LEAF}_backward"


def heads(length: int, dtype: torch.dtype, seed: int, grad: bool = False) -> Tensor:
    """(batch, length, heads, dim) transposed, as models make it."""
    generator = torch.Generator().manual_seed(seed)
    made = torch.randn(2, length, 4, 24, generator=generator).to(dtype)
    return made.transpose(1, 2).requires_grad_(grad)


def masks() -> dict[str, Callable[[], dict[str, object]]]:
    generator = torch.Generator().manual_seed(9)
    visible = torch.rand(2, 1, 40, 50, generator=generator) > 0.3
    visible[0, 0, 7] = False
    return {
        "none": dict,
        "causal": lambda: {"is_causal": True},
        "boolean": lambda: {"attn_mask": visible},
        "padding": lambda: {"attn_mask": visible[:, :, :1].expand(2, 4, 40, 50)},
        "scale": lambda: {"scale": 0.2},
    }


def call(dtype: torch.dtype, options: dict[str, object], grad: bool) -> CallParts:
    tensors = [heads(length, dtype, i, grad) for i, length in enumerate((40, 50, 50))]

    def both_ways(q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        out = F.scaled_dot_product_attention(q, k, v, **options)  # type: ignore[arg-type]
        if not grad:
            return [out]
        incoming = torch.cos(torch.arange(out.numel())).view(out.shape).to(dtype)
        return [out, *torch.autograd.grad(out, [q, k, v], incoming)]

    return both_ways, tuple(tensors), {}


def assert_as_near(ours: list[Tensor], stock: list[Tensor], exact: list[Tensor]) -> None:
    """Errors at most twice stock's, and one unit of the largest value."""
    for mine, theirs, truth in zip(ours, stock, exact, strict=True):
        unit = torch.finfo(mine.dtype).eps * truth.abs().max().item()
        allowed = 2 * (theirs.double() - truth).abs().max().item() + unit
        assert (mine.double() - truth).abs().max().item() <= allowed


@pytest.mark.parametrize("dtype", [F32, BF16], ids=str)
@pytest.mark.parametrize("mask", masks())
def test_training(mask: str, dtype: torch.dtype) -> None:
    options = masks()[mask]()
    stock = run_stock(lambda: call(dtype, options, True))
    ours = run(lambda: call(dtype, options, True))
    assert_same_but_values(stock, ours)
    assert hits(ours) == [LEAF, BACKWARD]
    exact = run_stock(lambda: call_in_float64(dtype, options))
    assert_as_near(ours.results, stock.results, exact.results)


def call_in_float64(dtype: torch.dtype, options: dict[str, object]) -> CallParts:
    """On the values that dtype has, and the same incoming gradient."""
    _, tensors, _ = call(dtype, options, True)
    wide = [t.detach().double().requires_grad_() for t in tensors]
    incoming = torch.cos(torch.arange(wide[0].numel())).view(wide[0].shape).to(dtype).double()

    def both_ways(q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
        out = F.scaled_dot_product_attention(q, k, v, **options)  # type: ignore[arg-type]
        return [out, *torch.autograd.grad(out, [q, k, v], incoming)]

    return both_ways, tuple(wide), {}


@pytest.mark.parametrize("mask", masks())
def test_gradcheck(mask: str) -> None:
    _, tensors, _ = call(F64, masks()[mask](), False)
    small = [t.detach()[:1, :2, :9, :5].clone().requires_grad_() for t in tensors]
    options = masks()[mask]()
    if isinstance(visible := options.get("attn_mask"), Tensor):
        options["attn_mask"] = visible[:1, :1, :9, :9]
    explained = polyops.explain(
        torch.autograd.gradcheck,
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, **options),  # type: ignore[arg-type]
        small,
    )
    assert explained.result
    assert {LEAF, BACKWARD} <= {c.overload for c in explained.calls if c.kernel}


def test_saturated_weights() -> None:
    """Scores of some 50: gradients depend on logsumexp's last bits."""
    tensors = [heads(40, F32, i).mul(4) for i in range(3)]

    def made(dtype: torch.dtype = F32) -> CallParts:
        leaves = [t.to(dtype).requires_grad_() for t in tensors]

        def gradients(q: Tensor, k: Tensor, v: Tensor) -> list[Tensor]:
            out = F.scaled_dot_product_attention(q, k, v)
            return list(torch.autograd.grad(out, [q, k, v], torch.cos(out.detach())))

        return gradients, tuple(leaves), {}

    stock, ours = run_stock(made), run(made)
    assert hits(ours) == [LEAF, BACKWARD]
    exact = run_stock(lambda: made(F64))
    assert_as_near(ours.results, stock.results, exact.results)


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shared", [2, 4])
def test_shared_heads_train(causal: bool, shared: int) -> None:
    def made(dtype: torch.dtype = F32) -> CallParts:
        q, k, v = (heads(20, F32, i).to(dtype) for i in range(3))
        k, v = (t[:, : t.shape[1] // shared] for t in (k, v))
        leaves = [t.clone().requires_grad_() for t in (q, k, v)]

        def gradients(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> list[torch.Tensor]:
            out = F.scaled_dot_product_attention(q, k, v, is_causal=causal, enable_gqa=True)
            return list(torch.autograd.grad(out, [q, k, v], torch.cos(out.detach())))

        return gradients, tuple(leaves), {}

    stock, ours = run_stock(made), run(made)
    assert hits(ours) == [LEAF, BACKWARD]
    assert_as_near(ours.results, stock.results, run_stock(lambda: made(F64)).results)


@pytest.mark.parametrize(
    ("kernel", "expected"),
    [
        ("attention_online", ["dtype", "its forward is left to stock"]),
        ("attention_backward_blocked", ["its backward is left to stock", "dtype"]),
    ],
)
def test_forward_and_backward_go_together(kernel: str, expected: list[str]) -> None:
    """Vectors have no float64: without either kernel, both are left to stock."""
    isa = polyops._C.families()[0]["isas"][0]
    if isa == "scalar":
        pytest.skip("scalar kernels have float64")
    op = "attention_backward" if "backward" in kernel else "attention"
    polyops._C.force(op, f"{kernel}__{isa}")
    try:
        assert reasons(run(lambda: call(F64, {}, True))) == expected
    finally:
        polyops._C.force(op, None)


def test_expanded_gradient_is_stock() -> None:
    """That of a sum: one number for every element."""
    tensors = [heads(20, F32, i, grad=True) for i in range(3)]

    def made() -> CallParts:
        def gradients(*t: Tensor) -> list[Tensor]:
            return list(torch.autograd.grad(F.scaled_dot_product_attention(*t).sum(), tensors))

        return gradients, tuple(tensors), {}

    stock, ours = run_stock(made), run(made)
    torch.testing.assert_close(ours.results, stock.results)


@pytest.mark.parametrize("mask", masks())
def test_inference_mode(mask: str) -> None:
    options = masks()[mask]()

    def made() -> CallParts:
        fn, tensors, _ = call(F32, options, False)
        return torch.inference_mode()(fn), tensors, {}

    stock, ours = run_stock(made), run(made)
    assert_same_but_values(stock, ours)
    assert hits(ours) == [LEAF]
    torch.testing.assert_close(ours.results, stock.results)


def test_same_bits_with_any_number_of_threads() -> None:
    tensors = [heads(length, F32, i) for i, length in enumerate((300, 520, 520))]
    found = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        found.append(F.scaled_dot_product_attention(*tensors, is_causal=True))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def test_autocast() -> None:
    tensors = [heads(40, F32, i) for i in range(3)]

    def made() -> CallParts:
        return torch.autocast("cpu")(F.scaled_dot_product_attention), tuple(tensors), {}

    stock, ours = run_stock(made), run(made)
    assert_same_but_values(stock, ours)
    assert hits(ours) == [LEAF]
    assert ours.results[0].dtype == BF16
    exact = F.scaled_dot_product_attention(*(t.to(BF16).double() for t in tensors))
    assert_as_near(ours.results, stock.results, [exact])


def test_grouped_queries() -> None:
    """Whatever stock makes of enable_gqa before it reaches the leaf."""
    q, k, v = heads(40, F32, 0), heads(50, F32, 1)[:, :2], heads(50, F32, 2)[:, :2]

    def made() -> CallParts:
        return F.scaled_dot_product_attention, (q, k, v), {"enable_gqa": True}

    stock, ours = run_stock(made), run(made)
    assert_same_but_values(stock, ours)
    torch.testing.assert_close(ours.results, stock.results)


def test_multihead_attention_trains() -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(48, 4, batch_first=True)
    x = torch.randn(3, 20, 48)

    def gradients() -> list[Tensor]:
        out, _ = layer(x, x, x, need_weights=False, is_causal=False)
        return list(torch.autograd.grad(out.square().sum(), list(layer.parameters())))

    with polyops.disable():
        stock = gradients()
    explained = polyops.explain(gradients)
    assert {LEAF, BACKWARD} <= {c.overload for c in explained.calls if c.kernel}
    for mine, theirs in zip(explained.result, stock, strict=True):
        assert (mine - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("place", range(3))
@pytest.mark.parametrize("dims", [(2400, 800, 1, 16), (1200, 400, 20, 2), (1200, 400, 20, 0)])
def test_rows_without_unit_stride_are_stock(dims: tuple[int, ...], place: int) -> None:
    """Stock takes the last stride for 1, and reads past such a tensor: here, what is around it."""
    around = torch.randn(30_000, generator=torch.Generator().manual_seed(0))

    def made() -> CallParts:
        tensors = [heads(20, F32, i)[:, :3, :, :16] for i in range(3)]
        tensors[place] = around.as_strided((2, 3, 20, 16), dims, 10_000)
        return torch.ops.aten._scaled_dot_product_flash_attention_for_cpu, tuple(tensors), {}

    stock, ours = run_stock(made), run(made)
    assert reasons(ours) == ["layout"]
    # Of a query whose rows are nearer than their length BLAS computes nothing: memory as it was.
    if place > 0 or dims[2] >= 16:
        assert torch.equal(ours.results[0], stock.results[0])


def test_dropout_is_stock() -> None:
    """Math, not the leaf: the same random numbers."""
    tensors = [heads(40, F32, i) for i in range(3)]

    def made() -> CallParts:
        return F.scaled_dot_product_attention, tuple(tensors), {"dropout_p": 0.5}

    stock, ours = run_stock(made), run(made)
    assert LEAF not in hits(ours)
    torch.testing.assert_close(ours.results, stock.results)


def test_reduced_precision_is_stock() -> None:
    tensors = [heads(40, F32, i) for i in range(3)]
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("medium")
    try:
        ours = run(lambda: (F.scaled_dot_product_attention, tuple(tensors), {}))
    finally:
        torch.set_float32_matmul_precision(before)
    assert reasons(ours) == ["bfloat16 products are allowed"]
