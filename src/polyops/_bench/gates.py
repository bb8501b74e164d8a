"""Measures gate points: each kernel forced on each row that it supports.

A point is what the gate may rely on, not what was hoped for: where the ratio is near 1, it is
measured again in fresh processes, whose memory lies elsewhere, and the lowest counts. So it does
where two rows reduce to the same point (mm and addmm of one size).
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import product
from operator import itemgetter

import torch

import polyops
from polyops import _C, _gates
from polyops._bench import machine
from polyops._bench.inputs import Case
from polyops._bench.measure import disagreement, served_by, threads
from polyops._bench.shapes import Spec
from polyops._bench.target import Target

HOPELESS = 0.8  # a ratio from which no gate opens: not worth many rounds
DOUBTFUL = (0.85, 1.2)  # ratios between which another process may find the other side of 1
PROCESSES = 3  # for doubtful points

Points = dict[tuple[object, ...], _gates.Point]


@contextmanager
def lifted() -> Iterator[None]:
    """Inside: every call goes to the first kernel that supports it, whatever was measured."""
    before = _C.gate()
    _C.set_gate(False)
    try:
        yield
    finally:
        _C.set_gate(before)


@contextmanager
def forced(kernel: "_C.Kernel") -> Iterator[None]:
    """Inside: the op has that kernel alone; gates are lifted, for ops that it depends on."""
    _C.force(kernel["op"], kernel["name"])
    try:
        with lifted():
            yield
    finally:
        _C.force(kernel["op"], None)


def candidates(case: Case, overload: str) -> "list[_C.Kernel]":
    """The usable kernels of the op behind the overload, of the ISA that the machine prefers."""
    with lifted():
        first, _ = served_by(case, overload)
    by_name = {kernel["name"]: kernel for kernel in _C.kernels()}
    if first is None:
        return []
    alike = itemgetter("op", "isa", "device")
    wanted = alike(by_name[first])
    return [kernel for kernel in by_name.values() if alike(kernel) == wanted and kernel["usable"]]


def point(target: Target, case: Case, spec: Spec, kernel: "_C.Kernel") -> _gates.Point | None:
    """None: the kernel does not support the call, or the row's last step is another kernel's.

    ValueError: it computed something else.
    """
    with forced(kernel):
        served, _ = served_by(case, spec.overload)
        if served != kernel["name"]:
            return None
        key = _C.last_call()
        assert key is not None
        if key["kernel"] != kernel["name"]:
            return None
        problem = disagreement(spec, case)
        if problem:
            raise ValueError(f"{kernel['name']} on {spec.name()}: {problem}")
        ratio = target.time(case, hopeless=HOPELESS).gate_ratio
    names = _C.sizes_of(kernel["op"])
    return _gates.Point(
        kernel=kernel["name"],
        threads=key["threads"],
        dtype=key["dtype"],
        layout=key["layout"],
        sizes=dict(zip(names, key["sizes"], strict=True)),
        ratio=round(ratio, 3),
    )


@dataclass
class Measured:
    points: Points = field(default_factory=dict)
    doubtful: list[Spec] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """What kernels got wrong."""

    def add(self, points: Iterable[_gates.Point]) -> None:
        for new in points:
            old = self.points.setdefault(new.key(), new)
            self.points[new.key()] = min(old, new, key=lambda point: point.ratio)


def is_doubtful(point: _gates.Point) -> bool:
    return DOUBTFUL[0] < point.ratio < DOUBTFUL[1]


def measure(target: Target, specs: Iterable[Spec], done: Callable[[], None]) -> Measured:
    """In this process; calls done() after each row."""
    measured = Measured()
    for spec in specs:
        points = []
        case = target.prepared(spec)
        for count, kernel in product(target.thread_counts(), candidates(case, spec.overload)):
            try:
                with threads(count):
                    new = point(target, case, spec, kernel)
            except ValueError as error:
                measured.problems.append(str(error))
                continue
            if new is not None:
                points.append(new)
        measured.add(points)
        if any(map(is_doubtful, points)):
            measured.doubtful.append(spec)
        done()
    return measured


def check_possible(target: Target) -> None:
    """ValueError or OSError now, not after minutes of measuring."""
    if all(kernel["device"] != target.name for kernel in _C.kernels()):
        raise ValueError(f"no gates to measure: no kernels are installed for {target.name}")
    _gates.FOLDER.mkdir(exist_ok=True)
    if not os.access(_gates.FOLDER, os.W_OK):
        raise PermissionError(f"gate files are written into {_gates.FOLDER}, which is read-only")


def write(target: Target, points: Iterable[_gates.Point]) -> _gates.GateFile:
    """Into this chip's file; points of earlier runs that were not measured now are kept."""
    chip = machine.chip(target.name)
    if chip == "unknown":
        raise ValueError(f"no gates to write: no kernel of {target.name} ran")
    path = _gates.FOLDER / f"{chip}.json"
    old = _gates.read(path) if path.exists() else None
    file = _gates.GateFile(
        chip=chip,
        torch=torch.__version__,
        polyops=polyops.__version__,
        points=_gates.merged(old.points if old else [], points),
        path=path,
        like=old.like if old else "",
    )
    _gates.write(file)
    return file
