"""Samples of _scaled_dot_product_flash_attention_for_cpu, the leaf of SDPA on CPUs."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, F64, TAKEN, Args, Make, Sample, args

NAME = "_scaled_dot_product_flash_attention_for_cpu"
Shape = tuple[int, int, int, int]
# batch, heads, queries, keys, dim
SIZES = [
    (1, 1, 1, 1, 1),
    (1, 1, 1, 1, 4),
    (2, 3, 5, 7, 8),
    (1, 2, 33, 65, 17),
    (1, 1, 64, 64, 64),
    (2, 2, 1, 300, 16),
    (1, 2, 130, 70, 32),
    (1, 1, 40, 600, 24),
    (1, 1, 300, 20, 130),
]
# Without heads, queries or keys stock divides by zero, and the process dies.
EMPTY = [(0, 2, 3, 4, 5), (2, 2, 3, 4, 0)]


def heads(m: Make, shape: Shape, layout: str = "contiguous", **named: Any) -> torch.Tensor:
    """tokens: (batch, length, heads, dim) transposed; fused: cut from a projection of q, k, v."""
    batch, count, length, dim = shape
    if layout == "tokens":
        return m(batch, length, count, dim, **named).transpose(1, 2)
    if layout == "fused":
        return m(batch, length, 3, count, dim, **named)[:, :, 1].transpose(1, 2)
    if layout == "one head":
        return m(batch, 1, length, dim, **named).expand(shape)
    if layout == "one batch":
        return m(1, count, length, dim, **named).expand(shape)
    return m(*shape, layout=layout, **named)


def attention(
    m: Make,
    sizes: tuple[int, int, int, int, int],
    layouts: tuple[str, str, str] = ("contiguous",) * 3,
    causal: bool = False,
    mask: Any = None,
    shared: int = 1,
    **named: Any,
) -> Args:
    """mask: a function of the Make. shared: so many heads have the same keys and values."""
    batch, count, q, kv, dim = sizes
    scale = named.pop("scale", None)
    query = heads(m, (batch, count, q, dim), layouts[0], **named)
    key = heads(m, (batch, count // shared, kv, dim), layouts[1], **named)
    value = heads(m, (batch, count // shared, kv, dim), layouts[2])
    options = {} if scale is None else {"scale": scale}
    if mask is not None:
        options["attn_mask"] = mask(m)
    return args(query, key, value, 0.0, causal, **options)


def sample(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Sample:
    return Sample(NAME, what, make, expect, dtypes)


def shapes() -> Iterator[Sample]:
    for sizes, causal in product(SIZES, (False, True)):
        yield sample(
            f"{sizes} causal {causal}",
            lambda m, s=sizes, c=causal: attention(m, s, causal=c),
        )
    for sizes in EMPTY:
        yield sample(f"{sizes}", lambda m, s=sizes: attention(m, s), "empty")
    for scale in (0.3, -0.7, 2.0):
        yield sample(f"scale {scale}", lambda m, s=scale: attention(m, (1, 2, 12, 40, 16), scale=s))


def layouts() -> Iterator[Sample]:
    taken = ["contiguous", "tokens", "fused", "padded", "offset", "one batch", "one head"]
    for a, b in product(taken, taken):
        for causal in (False, True):
            yield sample(
                f"{a} {b} causal {causal}",
                lambda m, a=a, b=b, c=causal: attention(m, (2, 3, 20, 33, 16), (a, b, a), c),
            )


def masks() -> Iterator[Sample]:
    b, h, q, kv = sizes = (2, 3, 20, 40)
    inf = float("inf")

    def holes(m: Make, shape: tuple[int, ...], dtype: Any) -> torch.Tensor:
        mask = m(*shape, dtype=dtype)
        mask[m(*shape) > 0.5] = -inf
        return mask

    def nothing(m: Make, dtype: Any) -> torch.Tensor:
        mask = m(q, kv, dtype=dtype)
        mask[3] = -inf
        return mask

    kinds: dict[str, Any] = {
        "full": lambda m, t: m(*sizes, dtype=t),
        "queries by keys": lambda m, t: m(q, kv, dtype=t),
        "4-D queries by keys": lambda m, t: m(1, 1, q, kv, dtype=t),
        "keys": lambda m, t: m(b, 1, 1, kv, dtype=t),
        "keys, expanded": lambda m, t: m(b, 1, 1, kv, dtype=t).expand(b, h, q, kv),
        "per head": lambda m, t: m(1, h, q, kv, dtype=t),
        "queries": lambda m, t: m(q, 1, dtype=t),
        "one": lambda m, t: m(1, 1, dtype=t),
        "transposed": lambda m, t: m(q, kv, dtype=t, layout="transposed"),
        "strided": lambda m, t: m(q, kv, dtype=t, layout="strided"),
        "padded": lambda m, t: m(b, h, q, kv, dtype=t, layout="padded"),
        "holes": lambda m, t: holes(m, (b, 1, q, kv), t),
        "a query without keys": nothing,
        "large": lambda m, t: m(q, kv, dtype=t, scale=1e4),
    }
    # Stock reads the keys' stride of a mask for 1 or 0.
    unread = ("transposed", "strided")
    for (what, make), wide in product(kinds.items(), (False, True)):

        def mask(m: Make, make: Any = make, wide: bool = wide) -> torch.Tensor:
            made: torch.Tensor = make(m, F32 if wide else m.dtype)
            return made

        yield sample(
            f"mask {what} {'float32' if wide else ''}",
            lambda m, k=mask: attention(m, (b, h, q, kv, 16), mask=k),
            "layout of the mask" if what in unread else "hit",
        )


def special() -> Iterator[Sample]:
    for shared in (2, 4):
        for q in (1, 20):
            yield sample(
                f"{shared} heads share keys, {q} queries",
                lambda m, n=shared, q=q: attention(m, (2, 4, q, 30, 16), shared=n),
            )
    for scale in (1e-3, 8.0, 40.0):
        yield sample(
            f"magnitude {scale}",
            lambda m, s=scale: lifted(m, s),
        )


def lifted(m: Make, factor: float) -> Args:
    (query, *rest), options = attention(m, (1, 2, 20, 300, 32))
    return args(query * factor, *rest, **options)


def wrong() -> Iterator[Sample]:
    sizes = (2, 3, 5, 7, 8)

    def changed(place: int, change: Any) -> Any:
        def make(m: Make) -> Args:
            values, options = attention(m, sizes)
            values = tuple(change(v) if i == place else v for i, v in enumerate(values))
            return values, options

        return make

    for place, name in enumerate(("query", "key", "value")):
        yield sample(f"{name} of rank 3", changed(place, lambda t: t[0]), "error")
        yield sample(f"{name} of another dim", changed(place, lambda t: t[..., :4]), "error")
        yield sample(f"{name} in float16", changed(place, lambda t: t.half()), "any", (F32,))
    yield sample("dropout", changed(3, lambda _: 0.5), "error")
    yield sample("integers", lambda m: attention(m, sizes), "error", (torch.int64,))
    shapes = ((5, 6), (4, 7), (3, 5, 7), (2, 2, 5, 7), (7,))
    for shape in shapes:
        yield sample(
            f"mask {shape}",
            lambda m, s=shape: attention(m, sizes, mask=lambda n: n(*s)),
            "error",
            (F32,),
        )
    yield sample("boolean mask", lambda m: attention(m, sizes, mask=lambda n: n(5, 7) > 0), "error")
    yield sample(
        "mask in bfloat16",
        lambda m: attention(m, sizes, mask=lambda n: n(5, 7, dtype=BF16)),
        "error",
        (F32, F64),
    )
    yield sample(
        "causal and a mask",
        lambda m: attention(m, sizes, causal=True, mask=lambda n: n(5, 7)),
        "causal and a mask",
    )
    yield sample(
        "causal, scale below 0",
        lambda m: attention(m, sizes, causal=True, scale=-1.0),
        "causal and scale",
    )
    yield sample("meta", lambda m: meta(m), "none", (F32,))


def meta(m: Make) -> Args:
    values, options = attention(m, (2, 3, 5, 7, 8))
    return tuple(v.to("meta") if isinstance(v, torch.Tensor) else v for v in values), options


def backward(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Sample:
    return Sample(f"{NAME}_backward", what, make, expect, dtypes)


def attention_backward(m: Make, forward: Args, grad: str = "contiguous") -> Args:
    """The forward's arguments and results, and a gradient in that layout."""
    values, options = forward
    result, logsumexp = getattr(torch.ops.aten, NAME)(*values, **options)
    incoming = heads(m, tuple(result.shape), grad)
    query, key, value, dropout, causal = values
    return args(incoming, query, key, value, result, logsumexp, dropout, causal, **options)


def of_forward(sample: Sample) -> Sample:
    """The backward of a sample of the forward. In float64 stock's forward misreads a float32 mask
    (its logsumexp is off by as much as the mask is large).
    """
    narrow = tuple(dtype for dtype in sample.dtypes if dtype != F64)
    return backward(
        sample.title,
        lambda m: attention_backward(m, sample.make(m)),
        sample.expect,
        narrow if sample.title.startswith("mask") and "float32" in sample.title else sample.dtypes,
    )


def backwards() -> Iterator[Sample]:
    for part in (shapes, layouts, masks, special):
        yield from map(of_forward, part())
    for grad in ("contiguous", "tokens", "fused", "padded", "offset", "one batch", "one head"):
        for query in ("contiguous", "tokens"):
            yield backward(
                f"gradient {grad}, {query}",
                lambda m, g=grad, q=query: attention_backward(
                    m, attention(m, (2, 3, 20, 33, 16), (q,) * 3), g
                ),
            )
    yield from wrong_backwards()


def wrong_backwards() -> Iterator[Sample]:
    def changed(place: int, change: Any) -> Any:
        def make(m: Make) -> Args:
            values, options = attention_backward(m, attention(m, (2, 3, 5, 7, 8)))
            return tuple(change(v) if i == place else v for i, v in enumerate(values)), options

        return make

    yield backward("dropout", changed(6, lambda _: 0.5), "dropout")
    yield backward("causal, scale below 0", lambda m: negative(m), "causal and scale")


def negative(m: Make) -> Args:
    return attention_backward(m, attention(m, (2, 3, 5, 7, 8), causal=True, scale=-1.0))


def samples() -> Iterator[Sample]:
    for part in (shapes, layouts, masks, special, wrong, backwards):
        yield from part()
