"""Gate files: what was measured on a chip, and so which calls a kernel takes there.

One file per chip, src/polyops/gates/<chip>.json, written by `polyops bench --write-gates`:

    {"chip": "amd_zen4", "torch": "2.13.0+cpu", "polyops": "0.1.0",
     "points": [{"kernel": "softmax_lastdim__avx512", "threads": 2, "dtype": "float32",
                 "layout": "contiguous", "sizes": {"outer": 1536, "len": 128, "inner": 1},
                 "ratio": 2.31}, ...]}

A point is one measured call: with that many threads the kernel took 1/ratio of stock's time. Names
of sizes are those of the kernel's op (_C.sizes_of). The registry gives a call the ratio of the
nearest point of its kernel, threads, dtype and layout, by distance over the logarithms of the
sizes. Kernels and chips that a file names and this installation lacks are no error.

A file may name a chip that this one is "like": an op, dtype or layout that was not measured here
opens where it clearly won there. Of 168 calls that won by 1.3x on an H200, an H100 with the same
kernels won all, the least by 1.13x.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from polyops import _C

Kinds = Mapping[str, tuple[type, ...]]  # what a field may be; subclasses are not

FILE_KINDS: Kinds = {"chip": (str,), "torch": (str,), "polyops": (str,), "points": (list,)}
POINT_KINDS: Kinds = {
    "kernel": (str,),
    "threads": (int,),
    "dtype": (str,),
    "layout": (str,),
    "sizes": (dict,),
    "ratio": (int, float),
}

CLEARLY = 1.05  # by so much ratios differ that were measured one after the other
WON_ELSEWHERE = 1.3  # from here on a win on another chip counts

FOLDER = Path(__file__).resolve().parent / "gates"


class Point(NamedTuple):
    kernel: str
    threads: int
    dtype: str
    layout: str
    sizes: dict[str, int]
    ratio: float

    def key(self) -> tuple[Any, ...]:
        """What a later measurement of the same thing has in common with this one."""
        sizes = tuple(self.sizes.items())
        return (self.kernel, self.dtype, self.layout, self.threads, sizes)


@dataclass(frozen=True)
class GateFile:
    chip: str
    torch: str
    polyops: str
    points: list[Point]
    path: Path
    like: str = ""
    """The chip whose points count for what was not measured on this one; "": none."""


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.json"))


def read(path: Path) -> GateFile:
    """Raises ValueError, naming the file and what is wrong in it."""
    try:
        data = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"gate file {path}: {error}") from None
    likes = isinstance(data, dict) and "like" in data
    kinds = {**FILE_KINDS, "like": (str,)} if likes else FILE_KINDS
    where, points = "the file", []
    try:
        fields = _fields(data, kinds)
        for index, item in enumerate(fields["points"]):
            where = f"points[{index}]"
            points.append(_point(item))
    except _WrongError as wrong:
        raise ValueError(f"gate file {path}: {where}{wrong}") from None
    head = {name: value for name, value in fields.items() if name != "points"}
    return GateFile(points=points, path=path, **head)


class _WrongError(ValueError):
    """What is wrong, as it goes on behind the name of where that is."""


def _point(item: Any) -> Point:
    point = Point(**_fields(item, POINT_KINDS))
    if point.threads < 1:
        raise _WrongError(f": threads is {point.threads}, not at least 1")
    for name, size in point.sizes.items():
        if type(size) is not int or size < 1:
            raise _WrongError(f": size {name} is {size!r}, not at least 1")
    if not (math.isfinite(point.ratio) and point.ratio > 0):
        raise _WrongError(f": ratio {point.ratio} is no positive number")
    return point


def _fields(item: Any, kinds: Kinds) -> dict[str, Any]:
    if not isinstance(item, dict):
        raise _WrongError(" is not an object")
    if item.keys() != kinds.keys():
        missing, unknown = sorted(kinds.keys() - item.keys()), sorted(item.keys() - kinds.keys())
        lacks, has = f" lacks {', '.join(missing)}", f" has unknown {', '.join(unknown)}"
        raise _WrongError(lacks if missing else has)
    for name, allowed in kinds.items():
        if type(item[name]) not in allowed:
            raise _WrongError(f": {name} is {item[name]!r}")
    return item


def load_all(files: Iterable[GateFile], op_of_kernel: Mapping[str, str]) -> None:
    by_chip = {file.chip: file for file in files}
    for file in by_chip.values():
        load(file, op_of_kernel, by_chip.get(file.like))


def load(file: GateFile, op_of_kernel: Mapping[str, str], like: GateFile | None = None) -> None:
    """Hands the points to the registry, sizes in the order of the kernel's op."""
    points = [point for point in file.points if point.kernel in op_of_kernel]
    if like is not None:
        points += borrowed(points, like.points, op_of_kernel)
    names_of = {op: _C.sizes_of(op) for op in {op_of_kernel[point.kernel] for point in points}}
    for point, ratio in zip(points, against_rivals(points, op_of_kernel), strict=True):
        names = names_of[op_of_kernel[point.kernel]]
        if point.sizes.keys() != set(names):
            raise ValueError(
                f"gate file {file.path}: {point.kernel} has sizes {', '.join(names)}, "
                f"not {', '.join(point.sizes)}"
            )
        sizes = [point.sizes[name] for name in names]
        _C.add_gate(file.chip, point.kernel, point.threads, point.dtype, point.layout, sizes, ratio)


def borrowed(
    own: Iterable[Point], other: Iterable[Point], op_of_kernel: Mapping[str, str]
) -> list[Point]:
    """Of the ops, dtypes and layouts that `own` says nothing of, the other chip's points.

    Where the kernel did not clearly win there, the point shuts it here.
    """
    measured = {(op_of_kernel[point.kernel], point.dtype, point.layout) for point in own}
    return [
        point if point.ratio >= WON_ELSEWHERE else point._replace(ratio=min(point.ratio, 1.0))
        for point in other
        if point.kernel in op_of_kernel
        and (op_of_kernel[point.kernel], point.dtype, point.layout) not in measured
    ]


def against_rivals(points: Iterable[Point], op_of_kernel: Mapping[str, str]) -> list[float]:
    """The ratios; where another kernel of the op was clearly faster, over that one.

    So the first kernel in the registry's order does not take what a later one is better at, nor
    one that reads a packed weight what is faster without. Kernels of one instruction set (the word
    behind "__") are rivals: others may be switched off.
    """
    points = list(points)
    ops = [op_of_kernel[point.kernel] for point in points]
    calls = [(point.kernel.rpartition("__")[2], *point.key()[1:]) for point in points]
    best: defaultdict[tuple[Any, ...], float] = defaultdict(float)
    for point, op, call in zip(points, ops, calls, strict=True):
        best[op, call] = max(point.ratio, best[op, call])
    ratios = []
    for point, op, call in zip(points, ops, calls, strict=True):
        rival = best[op, call]
        if op.endswith("_prepacked"):
            rival = max(rival, best[op.removesuffix("_prepacked"), call])
        clearly = rival > CLEARLY * point.ratio
        ratios.append(point.ratio / rival if clearly else point.ratio)
    return ratios


def merged(old: Iterable[Point], new: Iterable[Point]) -> list[Point]:
    """New points in place of old ones of the same key; sorted, so that diffs stay readable."""
    points = {point.key(): point for point in old}
    points.update({point.key(): point for point in new})
    return sorted(points.values(), key=Point.key)


def write(file: GateFile) -> None:
    head = {"chip": file.chip, "torch": file.torch, "polyops": file.polyops}
    if file.like:
        head["like"] = file.like
    lines = [json.dumps(point._asdict()) for point in file.points]
    text = json.dumps(head)[:-1] + ', "points": [\n' + ",\n".join(lines) + "\n]}\n"
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.path.write_text(text)
