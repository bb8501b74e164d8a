"""Samples of gelu and relu, their in-place, .out and backward overloads."""

from collections.abc import Iterator
from itertools import product
from typing import Any

import torch
from samples import BF16, F32, LAYOUTS, TAKEN, Args, Make, Sample, args, pairs

SHAPES = [(1,), (7,), (16,), (5, 13), (3, 1, 17), (2, 3, 8, 9), (64, 33), (1, 2, 1, 2, 2, 1, 3, 2)]
SHAPES += [()]
EMPTY = [(0,), (3, 0, 4)]
# Reversed it is contiguous in channels_last too, and the result gets other strides of the ones.
ONE_PIXEL_WIDE = (1, 17, 31, 1)
RANK_9 = (1, 2, 1, 2, 1, 2, 1, 2, 3)

# What each overload takes beside its tensors. dtypes of relu: integers too, but not ours.
UNARY: list[tuple[str, dict[str, Any]]] = [
    ("gelu", {}),
    ("gelu", {"approximate": "tanh"}),
    ("relu", {}),
]
BACKWARD: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("gelu_backward", (), {}),
    ("gelu_backward", (), {"approximate": "tanh"}),
    ("threshold_backward", (0,), {}),
    ("threshold_backward", (0.3,), {}),
]


def title(named: dict[str, Any], *parts: object) -> str:
    return " ".join(str(p) for p in (*named.values(), *parts))


def unary(op: str, named: dict[str, Any]) -> Iterator[Sample]:
    def plain(m: Make, shape: tuple[int, ...], layout: str, special: bool) -> Args:
        return args(m(*shape, layout=layout, scale=3, special=special), **named)

    def add(what: str, expect: str, *how: Any, dtypes: Any = TAKEN, inplace: str = "") -> Any:
        yield Sample(op, title(named, what), lambda m: plain(m, *how), expect, dtypes)
        expect = inplace or expect
        yield Sample(op + "_", title(named, what), lambda m: plain(m, *how), expect, dtypes)

    for shape in SHAPES:
        yield from add(f"{shape}", "hit", shape, "contiguous", False)
    for layout in [*LAYOUTS, "channels_last"]:
        overlaps = layout.startswith(("expanded", "overlapping"))
        inplace = "error" if layout.startswith("expanded") else "out overlaps itself"
        yield from add(
            layout, "hit", (2, 3, 8, 9), layout, False, inplace=inplace if overlaps else ""
        )
        yield from add(
            f"special {layout}",
            "hit",
            (3, 4, 5, 6),
            layout,
            True,
            inplace=inplace if overlaps else "",
        )
    yield from add("channels_last_3d", "hit", (2, 3, 2, 4, 3), "channels_last", False)
    yield from add("as channels_last", "hit", ONE_PIXEL_WIDE, "reversed", False)
    for shape in EMPTY:
        yield from add(f"{shape}", "empty", shape, "contiguous", False)
    yield from add("rank 9", "rank", RANK_9, "contiguous", False)
    for dtype in (torch.int64, torch.bool, torch.complex64):
        fails = op == "gelu" or dtype in (torch.bool, torch.complex64)
        yield from add(
            "wrong dtype",
            "error" if fails else "dtype",
            (5, 13),
            "contiguous",
            False,
            dtypes=(dtype,),
        )
    if op == "gelu":
        yield Sample(
            "gelu",
            "no such approximation",
            lambda m: args(m(3), approximate="fast"),
            "error",
            (F32,),
        )
    yield Sample(op, "meta", lambda m: args(m(3, 4).to("meta"), **named), "none", (F32,))


def outputs(make_out: str, m: Make, inputs: list[torch.Tensor]) -> torch.Tensor:
    """An out= tensor for a result of the last input's sizes."""
    like = inputs[-1]
    shape = like.shape
    if make_out in LAYOUTS:
        return m(*shape, layout=make_out)
    if make_out == "first input":
        return inputs[0]
    if make_out == "last input":
        return like
    if make_out == "shifted input":  # shares memory with the input, one element on
        big = m(like.numel() + 1)
        like.set_(big[:-1].view(shape))
        return big[1:].view(shape)
    if make_out == "view of input":
        return like.t() if like.shape[0] == like.shape[1] else like.view(shape)
    if make_out == "empty":
        return m(0)
    if make_out == "too small":
        return m(2)
    if make_out == "other dtype":
        return m(*shape, dtype=F32 if like.dtype != F32 else BF16)
    if make_out == "integer":
        return m(*shape).to(torch.int32)
    if make_out == "meta":
        return m(*shape).to("meta")
    raise ValueError(make_out)


# Where stock raises for some overloads and not for others (threshold_backward checks no overlap):
# "any", and the result or the exception is compared all the same.
OUT_EXPECT = {
    **dict.fromkeys(["contiguous", "transposed", "reversed", "strided", "padded", "offset"], "hit"),
    **dict.fromkeys(["expanded", "expanded_last", "shifted input", "view of input"], "any"),
    "overlapping": "out overlaps itself",
    "last input": "hit",
    "empty": "out must be resized",
    "too small": "out must be resized",
    **dict.fromkeys(["other dtype", "integer", "meta"], "any"),
}


def out_forms() -> Iterator[Sample]:
    for kind, expect in OUT_EXPECT.items():
        if kind == "overlapping":
            continue  # stock's gelu fails inside oneDNN, as in backward()

        def gelu(m: Make, kind: str = kind) -> Args:
            x = m(6, 6)
            return args(x, out=outputs(kind, m, [x]))

        yield Sample("gelu.out", f"out: {kind}", gelu, expect)
    for (op, scalars, named), (kind, expect) in product(BACKWARD, OUT_EXPECT.items()):
        if op == "gelu_backward" and kind == "overlapping":
            continue

        def backward(m: Make, kind: str = kind, scalars: Any = scalars, named: Any = named) -> Args:
            grad, x = m(6, 6), m(6, 6)
            return args(grad, x, *scalars, grad_input=outputs(kind, m, [grad, x]), **named)

        if kind == "last input":
            yield Sample(
                f"{op}.grad_input",
                title(named, *scalars, "out: grad"),
                lambda m, f=backward: f(m, "first input"),
                "hit",
            )
        yield Sample(f"{op}.grad_input", title(named, *scalars, f"out: {kind}"), backward, expect)


def backward(op: str, scalars: tuple[Any, ...], named: dict[str, Any]) -> Iterator[Sample]:
    def sample(what: str, make: Any, expect: str = "hit", dtypes: Any = TAKEN) -> Sample:
        def made(m: Make) -> Args:
            return args(*make(m), *scalars, **named)

        return Sample(op, title(named, *scalars, what), made, expect, dtypes)

    for shape in SHAPES:
        yield sample(f"{shape}", lambda m, s=shape: (m(*s), m(*s, scale=3)))
    for a, b in pairs([*LAYOUTS, "channels_last"]):
        if op == "gelu_backward" and a == "overlapping" and b in ("contiguous", "offset"):
            continue  # stock fails inside oneDNN, "could not construct a memory descriptor"
        yield sample(
            f"{a} {b}",
            lambda m, a=a, b=b: (m(2, 3, 4, 5, layout=a), m(2, 3, 4, 5, layout=b, scale=2)),
        )
    yield sample(
        "as channels_last",
        lambda m: tuple(m(*ONE_PIXEL_WIDE, layout="reversed", scale=s) for s in (1, 2)),
    )
    yield sample("special", lambda m: (m(9, 9, special=True), m(9, 9)))
    yield sample("special input", lambda m: (m(9, 9), m(9, 9, special=True)))
    yield sample("both special", lambda m: (m(5, 6, special=True), m(5, 6, special=True)))
    for shape in EMPTY:
        yield sample(f"{shape}", lambda m, s=shape: (m(*s), m(*s)), "empty")
    yield sample("rank 9", lambda m: (m(*RANK_9), m(*RANK_9)), "rank")
    yield sample("broadcast", lambda m: (m(4, 5), m(5)), "any")
    yield sample("broadcast grad", lambda m: (m(5), m(4, 5)), "any")
    yield sample("shapes", lambda m: (m(4, 5), m(4, 6)), "error")
    yield sample("mixed", lambda m: (m(4, 5), m(4, 5, dtype=BF16)), "any", (F32,))
    yield sample("mixed grad", lambda m: (m(4, 5, dtype=BF16), m(4, 5)), "any", (F32,))
    yield sample("integers", lambda m: (m(4, 5), m(4, 5)), "any", (torch.int64,))
    yield sample("meta", lambda m: (m(4, 5), m(4, 5).to("meta")), "any", (F32,))
    yield sample("both meta", lambda m: (m(4, 5).to("meta"), m(4, 5).to("meta")), "none", (F32,))


def thresholds() -> Iterator[Sample]:
    for value in (-1, 0.1, True, float("nan"), float("inf"), -float("inf"), 1e-46, 1 + 1e-9):
        yield Sample(
            "threshold_backward",
            f"threshold {value}",
            lambda m, v=value: args(m(9, 9), m(9, 9, special=True), v),
        )
        yield Sample(
            "threshold_backward",
            f"at the threshold {value}",
            lambda m, v=value: args(m(9, 9), torch.full((9, 9), v, dtype=m.dtype), v),
        )
    yield Sample(
        "threshold_backward",
        "threshold 1e300",
        lambda m: args(m(9, 9), m(9, 9), 1e300),
        "error",
        (F32, BF16),
    )
    yield Sample(
        "threshold_backward", "complex threshold", lambda m: args(m(9, 9), m(9, 9), 1j), "error"
    )


def samples() -> Iterator[Sample]:
    for op, named in UNARY:
        yield from unary(op, named)
    for op, scalars, keywords in BACKWARD:
        yield from backward(op, scalars, keywords)
    yield from thresholds()
    yield from out_forms()
