#!/usr/bin/env python3
"""Whole networks on a device, stock against polyops: steps of training, and inference.

    benchmarks/models.py --device cuda --json models.json
    benchmarks/models.py --model gpt2 --mode inference --lift-gates

The networks are those of networks.py and unet.py, with random weights and inputs. Modes:

    autocast    a step of training, forward, loss, backward and optimizer: weights in float32, the
                forward under autocast to bfloat16
    bfloat16    the same, weights in bfloat16
    inference   a forward without gradients, weights in bfloat16

Times are those of the device, for which the host's work lies ahead of it; stock and polyops take
turns in one process, and the ratio is the median of the rounds'. The host's time to issue a step
stands beside it: where it is the longer one, it is what a program sees, and the device's holds some
of it. Memory is the peak of a
step beyond what was there before.

Before it is timed each network's output and gradients are held against those by stock in float32,
without TF32: polyops' relative error may be 1.5 times that of stock's bfloat16, of a single
parameter's gradient 3 times. A row that disagrees is an error, and the exit status 1.
"""

import argparse
import gc
import json
import math
import statistics
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from agreement import Errors, errors, no_tf32
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from tasks import MODES, TASKS, Step

import polyops
from polyops._bench import gates
from polyops._bench.device import Device, find
from polyops._bench.device_clock import LEAD, Clock
from polyops._bench.measure import LEAST_ROUNDS, Timing, patched, set_patched, timing_of
from polyops._bench.report import geomean
from polyops._cli.bench import check_output, progress

SAMPLE_US, MOST_STEPS = 60_000.0, 10  # of the device, between two events
FACTOR, FLOOR = 1.5, 2**-12  # polyops' error: at most so many times stock's, and this

Row = dict[str, Any]


def compared(step: Step) -> tuple[Errors, Errors]:
    """Errors of stock and of polyops."""
    with patched(False), no_tf32():
        exact = step.wide(torch.float32).results()
    found = []
    for on in (False, True):
        with patched(on):
            mine = step.results()
        with patched(False):
            found.append(errors(mine, exact))
    return found[0], found[1]


def peak_bytes(module: Any, step: Step) -> int:
    """Of the second of two steps, beyond what lay there before."""
    step()
    module.synchronize()
    module.reset_peak_memory_stats()
    before = module.memory_allocated()
    step()
    module.synchronize()
    return int(module.max_memory_allocated() - before)


def timed(
    clock: Clock, step: Step, rounds: int, seconds: float
) -> tuple[Timing, tuple[float, float]]:
    """By the device; and the host's time of either side. Step has been warmed up."""
    device: tuple[list[float], list[float]] = [], []
    host: tuple[list[float], list[float]] = [], []
    steps = min(MOST_STEPS, math.ceil(SAMPLE_US / clock.device_us(step, 1, 0)))
    start = time.perf_counter()
    with patched(True):
        for turn in range(rounds):
            for on in (turn % 2 == 0, turn % 2 == 1):
                set_patched(not on)  # so that either side comes after one switch each way
                set_patched(on)
                host[on].append(clock.host_us(step, 1))
                lead_us = LEAD * steps * host[on][-1]
                device[on].append(clock.device_us(step, steps, lead_us))
            if turn + 1 >= LEAST_ROUNDS and time.perf_counter() - start > seconds:
                break
    return timing_of(*device), (statistics.median(host[False]), statistics.median(host[True]))


def measure(clock: Clock, module: Any, step: Step, rounds: int, seconds: float) -> Row:
    """What a row says of the step."""
    stock, ours = compared(step)
    with patched(True):
        calls = polyops.explain(step).calls
    memory = []
    for on in (False, True):
        with patched(on):
            memory.append(peak_bytes(module, step))
    timing, host = timed(clock, step, rounds, seconds)
    row: Row = {
        "stock_ms": round(timing.stock_us / 1e3, 3),
        "polyops_ms": round(timing.polyops_us / 1e3, 3),
        **{key: round(getattr(timing, key), 4) for key in ("ratio", "p20", "p80")},
        "host_stock_ms": round(host[False] / 1e3, 3),
        "host_polyops_ms": round(host[True] / 1e3, 3),
        "stock_peak_mb": round(memory[False] / 1e6, 1),
        "polyops_peak_mb": round(memory[True] / 1e6, 1),
        "taken": Counter(call.overload for call in calls if call.kernel),
        "declined": Counter(f"{call.overload}: {call.reason}" for call in calls if call.reason),
        "stock_error": in_all(stock),
        "polyops_error": in_all(ours),
    }
    if not ours.within(stock, FACTOR, FLOOR):
        row["error"] = f"disagrees: errors {asdict(ours)}, stock's {asdict(stock)}"
    return row


def in_all(found: Errors) -> dict[str, float]:
    """Without each parameter's."""
    return {"output": found.output, "gradients": found.gradients}


def is_of_host(row: Row) -> bool:
    """Whether the host takes longer to issue a step than the device to run it.

    What it issues is more than a queue holds, so that the device waits in between.
    """
    return any(row[f"host_{side}_ms"] > row[f"{side}_ms"] for side in ("stock", "polyops"))


def row_of(target: Device, module: Any, name: str, mode: str, layout: str, args: Any) -> Row:
    """What cannot run is an error of its row, not of the others."""
    row: Row = {"model": name, "mode": mode, "layout": layout}
    gc.collect()  # the row before
    module.empty_cache()
    try:
        step = Step(TASKS[name], mode, layout, target.name)
        return row | measure(target.clock, module, step, args.rounds, args.seconds)
    except (RuntimeError, ValueError) as error:  # out of memory is one
        return row | {"error": str(error).splitlines()[0]}


COLUMNS = {
    "model": "{model}",
    "mode": "{mode}",
    "layout": "{layout}",
    "stock ms": "{stock_ms:.2f}",
    "polyops ms": "{polyops_ms:.2f}",
    "ratio": "{ratio:.3f}",
    "p20-p80": "{p20:.3f}-{p80:.3f}",
    "host ms": "{host_stock_ms:.1f} {host_polyops_ms:.1f}",
    "memory MB": "{stock_peak_mb:.0f} {polyops_peak_mb:.0f}",
    "output error": "{stock_error[output]:.1e} {polyops_error[output]:.1e}",
    "gradients' error": "{stock_error[gradients]:.1e} {polyops_error[gradients]:.1e}",
}


def show(console: Console, heading: str, rows: Sequence[Row]) -> None:
    """A table, and what was taken; errors last."""
    console.print(f"{heading}\nratio = stock / polyops; of pairs the first is stock's")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for number, column in enumerate(COLUMNS):
        table.add_column(column, justify="right" if number > 2 else "left", no_wrap=True)
    measured = [row for row in rows if "ratio" in row]
    for row in measured:
        cells = (text.format_map(row) for text in COLUMNS.values())
        table.add_row(*cells, style="red" if "error" in row else "dim" if is_of_host(row) else "")
    if measured:
        console.print(table)
    of_device = [row["ratio"] for row in measured if not is_of_host(row)]
    if of_device:
        mean = geomean(of_device)
        console.print(f"geomean of the ratios, but for rows that wait for the host: {mean:.3f}")
    for row in measured:
        taken = (f"{name.removeprefix('aten::')} {n}" for name, n in row["taken"].items())
        console.print(f"{named(row)}: {', '.join(taken) or 'no call'} by polyops", highlight=False)
    for row in rows:
        if "error" in row:
            console.print(f"[red]FAILED: {named(row)}: {escape(row['error'])}[/]")


def named(row: Row) -> str:
    """Its first columns."""
    return f"{row['model']} {row['mode']} {row['layout']}"


def parsed() -> argparse.Namespace:
    """The arguments."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", nargs="+", choices=TASKS, default=[*TASKS], metavar="NAME")
    parser.add_argument("--mode", nargs="+", choices=MODES, default=[*MODES])
    parser.add_argument("--rounds", type=positive, default=7, help="at most; default: 7")
    parser.add_argument(
        "--seconds", type=float, default=2.5, help="of a row, after which rounds end; default: 2.5"
    )
    parser.add_argument("--lift-gates", action="store_true", help="every kernel, measured or not")
    parser.add_argument("--json", type=Path, metavar="FILE")
    return parser.parse_args()


def positive(text: str) -> int:
    """A number of rounds."""
    if (number := int(text)) < 1:
        raise ValueError
    return number


def run(args: argparse.Namespace) -> int:
    """Exit status 1 if a row failed."""
    module = find(args.device)
    if args.json:
        check_output(args.json)
    target = Device(args.device, module)
    wanted = [
        (name, mode, form)
        for name in args.model
        for mode in args.mode
        for form in TASKS[name].layouts
    ]
    rows = []
    with progress() as bar, gates.lifted() if args.lift_gates else nullcontext():
        task = bar.add_task("", total=len(wanted))
        for each in wanted:
            bar.update(task, description=" ".join(each))
            rows.append(row_of(target, module, *each, args))
            bar.advance(task)
    about = target.describe()  # whose chip is known once a kernel has run there
    show(Console(width=None if sys.stdout.isatty() else 240), target.heading(about), rows)
    if args.json:
        found = {"machine": about, "gates_lifted": args.lift_gates, "rows": rows}
        args.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if any("error" in row for row in rows) else 0


def main() -> int:
    """Exit status 2 where it cannot begin."""
    try:
        return run(parsed())
    except (OSError, ValueError) as error:
        print(f"models.py: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
