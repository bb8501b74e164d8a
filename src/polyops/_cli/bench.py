"""`polyops bench`."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from polyops import _C, _gates
from polyops._bench import (
    ahead,
    contestants,
    device,
    device_clock,
    gates,
    memory,
    report,
    rows,
    shapes,
)
from polyops._bench.cpu import Cpu
from polyops._bench.rows import Row
from polyops._bench.shapes import Spec
from polyops._bench.target import Target


def run(args: argparse.Namespace) -> int:
    if args.json:
        check_output(Path(args.json))
    if args.threads:
        torch.set_num_threads(args.threads)
    with_memory = wants_memory(args)
    specs = [] if args.op == [] else chosen(args)
    if not specs and not with_memory:
        raise ValueError("no row of the shape files matches")
    kept = kept_memory() if with_memory else []
    if not specs and not kept:
        raise ValueError("freed memory is not kept here, so there is nothing to measure")
    target = target_of(args, specs)
    if args.write_gates:
        return write_gates(target, specs, args)
    target.describe()  # which warms it up
    with gates.lifted() if args.lift_gates else nullcontext():
        measured = measure(target, specs)
    if args.confirm:
        measured = confirm(specs, measured, args)
    rows.settle_limits(target, measured)
    about = target.describe()
    if not args.rows:
        title = f"polyops bench, suite {args.suite}{', gates lifted' if args.lift_gates else ''}"
        console = Console(width=None if sys.stdout.isatty() else 240)
        report.show(console, title, target.heading(about), measured)
        if kept:
            report.show_memory(console, kept)
    if args.json:
        summary = report.summarize(measured)
        found = {"machine": about, "brief": args.brief, "rows": measured}
        found |= {"memory": kept, "summary": summary}
        text = json.dumps(found, indent=1)
        Path(args.json).write_text(text + "\n")
    return 1 if any(map(rows.is_error, measured)) else 0


def check_output(path: Path) -> None:
    """OSError now, not after minutes of measuring."""
    if path.is_dir() or not path.parent.is_dir():
        raise FileNotFoundError(f"--json {path}: expected a file in a folder that exists")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise PermissionError(f"--json {path}: may not be written")


def target_of(args: argparse.Namespace, specs: Sequence[Spec]) -> Target:
    if args.device != "cpu":
        module = device.find(args.device)
        others = {} if args.write_gates else able(specs, args.compile)
        effort = device_clock.BRIEF if args.brief else device_clock.FULL
        return device.Device(args.device, module, able=others, effort=effort)
    for flag in ("compile", "brief"):
        if vars(args)[flag]:
            raise ValueError(f"--{flag} is of devices: pass --device, too")
    _C.recycle_tensor_memory()  # for good: this process only measures from here on
    return Cpu()


def wants_memory(args: argparse.Namespace) -> bool:
    """Whether the group `memory` is wanted, which has no shape file; takes it out of args.op."""
    if args.device == "cpu" and args.op and memory.GROUP in args.op:
        args.op = [op for op in args.op if op != memory.GROUP]
        return True
    return args.device == "cpu" and not (args.op or args.dtype or args.rows or args.write_gates)


def chosen(args: argparse.Namespace) -> list[Spec]:
    """The rows that the arguments ask for."""
    specs = shapes.load(args.op, args.dtype, args.device)
    if args.rows:
        names = set(json.loads(Path(args.rows).read_text()))
        return [spec for spec in specs if spec.name() in names]
    return [spec for spec in specs if spec.quick or args.suite == "full"]


def progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )


def able(specs: Sequence[Spec], compiled: bool) -> dict[str, list[str]]:
    """Which other libraries can compute the rows."""
    names = contestants.names(compiled)
    if not names:
        return {}
    with progress() as bar:
        task = bar.add_task(", ".join(names), total=len(specs))
        return ahead.able(specs, names, lambda: bar.advance(task))


def kept_memory() -> list[memory.MemoryRow]:
    with progress() as bar:
        task = bar.add_task("kept memory", total=len(memory.CALLS))
        return memory.measure(lambda: bar.advance(task))


def measure(target: Target, specs: Sequence[Spec]) -> list[Row]:
    measured = []
    with progress() as bar:
        task = bar.add_task("", total=len(specs))
        for spec in specs:
            bar.update(task, description=f"{spec.overload} {spec.dtype} {spec.shape()}")
            measured.append(rows.run(target, spec))
            bar.advance(task)
    return measured


def confirm(specs: Sequence[Spec], measured: list[Row], args: argparse.Namespace) -> list[Row]:
    """Measures losing rows twice more, each time in a fresh process.

    A row that did not lose in all three is given as the median of the three.
    """
    lost = [i for i, row in enumerate(measured) if rows.is_loss(row) and not rows.is_error(row)]
    if not lost:
        return measured
    again = [fresh_process([specs[i] for i in lost], args)["rows"] for _ in range(2)]
    result = list(measured)
    for place, index in enumerate(lost):
        tries = [measured[index], *(run[place] for run in again)]
        if not all(map(rows.is_loss, tries)):
            middle = median(row["ratio"] for row in tries)
            result[index] = next(row for row in tries if row["ratio"] == middle)
    return result


def fresh_process(specs: Iterable[Spec], args: argparse.Namespace) -> Any:
    """What the same command writes for these rows."""
    with tempfile.TemporaryDirectory() as folder:
        wanted, found = Path(folder) / "wanted.json", Path(folder) / "found.json"
        wanted.write_text(json.dumps([spec.name() for spec in specs]))
        command = [sys.executable, "-m", "polyops", "bench", "--rows", wanted, "--json", found]
        command += ["--threads", str(torch.get_num_threads()), "--device", args.device]
        command += ["--op", *args.op] if args.op else []
        for flag in ("compile", "brief", "lift_gates", "write_gates"):
            command += [f"--{flag.replace('_', '-')}"] if vars(args)[flag] else []
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        if not found.exists():
            raise OSError(f"the run in a fresh process failed: {done.stderr.strip()}")
        return json.loads(found.read_text())


def write_gates(target: Target, specs: Sequence[Spec], args: argparse.Namespace) -> int:
    """Into this chip's gate file; the points of some rows (--rows) into --json."""
    gates.check_possible(target)
    with progress() as bar:
        task = bar.add_task("gates", total=len(specs))
        measured = gates.measure(target, specs, lambda: bar.advance(task))
        if args.rows:
            points = [point._asdict() for point in measured.points.values()]
            Path(args.json).write_text(json.dumps({"points": points}))
            return 0
        if measured.doubtful:
            again = gates.PROCESSES - 1
            task = bar.add_task(f"{len(measured.doubtful)} doubtful rows again", total=again)
            for _ in range(again):
                found = fresh_process(measured.doubtful, args)["points"]
                measured.add(_gates.Point(**point) for point in found)
                bar.advance(task)
    file = gates.write(target, measured.points.values())
    faster = sum(point.ratio >= 1 for point in measured.points.values())
    print(f"{file.path}: {len(measured.points)} points, kernels faster than stock in {faster}")
    for problem in measured.problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if measured.problems else 0
