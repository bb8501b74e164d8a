"""Reads benchmarks/shapes/<op>.txt and, for devices, benchmarks/shapes/gpu/<op>.txt.

One line is one call of a real model:

    <overload> <direction> <dtypes> <sizes> <layout> [key=value ...] [quick] "<model: layer>"

    _softmax forward f32,bf16 1x12x128x128 contiguous dim=-1 quick "MiniLM 1x128: attention"

overload   of aten, without the namespace: mm, addmm.out, relu_, _softmax_backward_data
direction  forward or backward: what the model runs the call for
dtypes     f32, bf16, f64, f16, u8, comma-separated: one row each
sizes      products: m x n x k, batched ones batch x m x n x k, with a vector m x k, dot k;
           attention: batch x heads x queries x keys x dim; others: of the input, for convolution
           and pools batch x channels x (depth x) height x width, for cat of the first one
layout     as _bench/calls.py and _bench/convolutions.py list them
key=value  dim (softmax, log_softmax), over (layer_norm, rms_norm: how many trailing dimensions),
           approx (gelu), weight (norms: dtype of weight and bias if not the input's),
           groups (group_norm), mode (batch_norm: train, eval),
           addend (addmm), frozen (addmm, mm: the weight packed by polyops.freeze),
           mask (attention: causal, full, rows, padding), kv_heads (attention: heads of keys);
           others are listed in the module that makes the calls: _bench/convolutions.py, pools.py,
           upsample.py, joins.py (cat), copies.py (copy), losses.py (cross_entropy, nll_loss),
           activations.py (glu), reductions.py, lookups.py (gather, index_add,
           index_put, index_select, scatter_add, embedding)
quick      the line is in the quick suite too
'#' begins a comment.
"""

import shlex
from dataclasses import dataclass, replace
from pathlib import Path

DTYPES = {"f32": "float32", "bf16": "bfloat16", "f64": "float64", "f16": "float16"}
DTYPES |= {"u8": "uint8"}  # of copies, and as bool


@dataclass(frozen=True)
class Spec:
    """One row of the benchmark."""

    op: str
    overload: str
    direction: str
    dtype: str
    sizes: tuple[int, ...]
    layout: str
    options: tuple[tuple[str, str], ...]
    quick: bool
    model: str
    device: str = "cpu"
    """As torch calls it."""

    def option(self, name: str, default: str) -> str:
        return dict(self.options).get(name, default)

    def shape(self) -> str:
        text = "x".join(map(str, self.sizes))
        return " ".join([text, *(f"{key}={value}" for key, value in self.options)])

    def name(self) -> str:
        return f"{self.overload} {self.direction} {self.dtype} {self.shape()} {self.layout}"


def folder(device: str = "cpu") -> Path:
    """In an installation beside this file, in a checkout benchmarks/shapes; of devices gpu/."""
    packed = Path(__file__).resolve().parent / "shapes"
    checkout = Path(__file__).resolve().parents[3] / "benchmarks" / "shapes"
    found = checkout if checkout.is_dir() else packed
    if not found.is_dir():
        raise FileNotFoundError(f"no shape files: neither {packed} nor {checkout} exists")
    return found if device == "cpu" else found / "gpu"


def load(
    ops: list[str] | None = None, dtypes: list[str] | None = None, device: str = "cpu"
) -> list[Spec]:
    """All rows of the given ops and dtypes (None: of all). ValueError for unknown names."""
    files = {path.stem: path for path in sorted(folder(device).glob("*.txt"))}
    for op in ops or ():
        if op not in files:
            raise ValueError(f"unknown op {op!r}; ops with shapes: {', '.join(files)}")
    names = [DTYPES.get(dtype, dtype) for dtype in dtypes or ()]
    for name in names:
        if name not in DTYPES.values():
            raise ValueError(f"unknown dtype {name!r}; known: {', '.join(DTYPES.values())}")
    specs = [spec for op in ops or files for spec in parse(files[op])]
    return [replace(spec, device=device) for spec in specs if not names or spec.dtype in names]


def parse(path: Path) -> list[Spec]:
    specs: list[Spec] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            specs += _parse_line(path.stem, line)
        except ValueError as error:
            raise ValueError(f"{path}:{number}: {error}") from None
    if len({spec.name() for spec in specs}) != len(specs):
        names = [spec.name() for spec in specs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{path}: twice the same row: {twice}")
    return specs


def _parse_line(op: str, line: str) -> list[Spec]:
    fields = shlex.split(line, comments=True)
    if not fields:
        return []
    if len(fields) < 6 or "=" in fields[-1] or fields[-1] == "quick":
        raise ValueError('expected: overload direction dtypes sizes layout ... "model: layer"')
    overload, direction, dtypes, sizes, layout, *rest, model = fields
    if direction not in ("forward", "backward"):
        raise ValueError(f"direction {direction!r} is neither forward nor backward")
    unknown = [word for word in rest if word != "quick" and "=" not in word]
    unknown += [dtype for dtype in dtypes.split(",") if dtype not in DTYPES]
    if unknown:
        raise ValueError(f"unknown word {unknown[0]!r}")
    options = tuple((word.split("=", 1)[0], word.split("=", 1)[1]) for word in rest if "=" in word)
    extents = tuple(int(size) for size in sizes.split("x"))
    return [
        Spec(op, overload, direction, DTYPES[d], extents, layout, options, "quick" in rest, model)
        for d in dtypes.split(",")
    ]
