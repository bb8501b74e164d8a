#!/usr/bin/env python3
"""What binds each row: Nsight Compute's figures of the kernels that run it, on an NVIDIA GPU.

    benchmarks/nvidia_limits.py benchmarks/results/nvidia_h200.json --targets --json limits.json

Takes rows that a run has measured, those below --below percent of the speed of a copy, or below the
target of their op, and calls each once under `ncu`, by the kernel that the run names. Of each
kernel: its time, the bytes that the memory moved and how much of its peak that is, resident warps
and issued instructions in percent of what the multiprocessors can have, and why warps that did not
issue waited, the two main reasons.
`bound` says what follows from it:

    size      as fast as the simplest kernel that moves as many bytes
    re-read   the memory moved a fifth more than each tensor once
    memory    its bandwidth
    issue     the multiprocessors issue instructions most of the time
    launches  a sixth of the time is in further kernels, which wait for the first
    the reason why most warps waited, in Nsight Compute's words
"""

import argparse
import csv
import json
import math
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

STALL = "smsp__average_warps_issue_stalled_", "_per_issue_active.ratio"
METRICS = {
    "us": ("gpu__time_duration.sum", 1e-3),
    "read_mb": ("dram__bytes_read.sum", 1e-6),
    "written_mb": ("dram__bytes_write.sum", 1e-6),
    "memory_pct": ("dram__throughput.avg.pct_of_peak_sustained_elapsed", 1),
    "issue_pct": ("smsp__issue_active.avg.pct_of_peak_sustained_active", 1),
    "warps_pct": ("sm__warps_active.avg.pct_of_peak_sustained_active", 1),
    "registers": ("launch__registers_per_thread", 1),
    "waves": ("launch__waves_per_multiprocessor", 1),
}
# Percent of the speed of the simplest kernel that moves as many bytes; more in target().
TARGETS = {"cat": 90.0, "copy": 90.0, "gelu": 90.0, "cross_entropy": 85.0, "nll_loss": 85.0}
TARGETS |= {"group_norm": 75.0, "batch_norm": 75.0, "convolution": 75.0}
OVER_ROWS = ("softmax", "log_softmax", "layer_norm", "rms_norm")
SEPARATOR = "spin_kernel"  # of torch.cuda._sleep, between rows


def call(rows: list[dict[str, Any]]) -> None:
    """In the process that ncu watches: prints nothing, runs each row once between separators."""
    import torch

    from polyops import _C
    from polyops._bench import gates, shapes
    from polyops._bench.calls import make
    from polyops._bench.measure import patched

    specs = {spec.name(): spec for spec in shapes.load(device="cuda")}
    kernels = {kernel["name"]: kernel for kernel in _C.kernels()}
    profiler: Any = torch.cuda.cudart()
    for row in rows:
        case = make(specs[named(row)])
        with gates.forced(kernels[row["kernel"]]), patched(True):
            case.fn()
            torch.cuda.synchronize()
            profiler.cudaProfilerStart()
            torch.cuda._sleep(1)
            case.fn()
            torch.cuda.synchronize()
            profiler.cudaProfilerStop()


def named(row: dict[str, Any]) -> str:
    """As shapes.Spec.name()."""
    return " ".join(row[key] for key in ("overload", "direction", "dtype", "shape", "layout"))


def profiled(rows: list[dict[str, Any]]) -> Iterator[list[dict[str, str]]]:
    """Metrics of the kernels of each row."""
    metrics = [name for name, _ in METRICS.values()] + [f"regex:{STALL[0]}.*{STALL[1]}"]
    command = ["ncu", "--profile-from-start", "off", "--clock-control", "none"]
    command += ["--csv", "--page", "raw", "--print-units", "base", "--metrics", ",".join(metrics)]
    with TemporaryDirectory() as folder:
        wanted = Path(folder) / "rows.json"
        wanted.write_text(json.dumps(rows))
        command += [sys.executable, __file__, str(wanted), "--call"]
        printed = subprocess.run(command, capture_output=True, text=True, check=False)
    lines = printed.stdout.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith('"ID"')), None)
    if printed.returncode != 0 or start is None:
        raise OSError(f"ncu failed: {printed.stdout[-2000:]}{printed.stderr[-2000:]}")
    launches = list(csv.DictReader(lines[start:]))[1:]  # the first is the row of units
    parts = groupby(launches, lambda launch: SEPARATOR in launch["Kernel Name"])
    yield from (list(part) for separates, part in parts if not separates)


def bound(row: dict[str, Any], kernels: list[dict[str, Any]]) -> str:
    """Of a row, as above."""
    longest = max(kernels, key=lambda kernel: kernel["us"])
    moved = sum(kernel["read_mb"] + kernel["written_mb"] for kernel in kernels)
    found = {
        "size": row.get("moving_pct", 0) >= 95,
        "re-read": moved >= 1.2e-3 * row["gbs"] * row["polyops_us"],
        "memory": longest["memory_pct"] >= 85,
        "issue": longest["issue_pct"] >= 70,
        "launches": sum(kernel["us"] for kernel in kernels) >= 1.2 * longest["us"],
    }
    return next((name for name, holds in found.items() if holds), next(iter(longest["waits_pct"])))


def target(row: dict[str, Any]) -> float:
    """TARGETS' of a row, 0 of an op that has none."""
    op = row["op"]
    if op in OVER_ROWS:
        shape, *words = row["shape"].split()
        sizes = [int(size) for size in shape.split("x")]
        options = dict(word.split("=") for word in words)
        dim, over = int(options.get("dim", -1)), int(options.get("over", 1))
        length = sizes[dim] if "dim" in options else math.prod(sizes[-over:])
        return 85.0 if row["direction"] == "backward" else 90.0 if length >= 1024 else 80.0
    return 75.0 if "pool" in op or op.startswith("upsample") else TARGETS.get(op, 0.0)


def figures(launch: dict[str, str]) -> dict[str, Any]:
    """Of a kernel."""
    number = {key: float(text.replace(",", "")) for key, text in launch.items() if is_number(text)}
    found: dict[str, Any] = {"kernel": short(launch["Kernel Name"])}
    for name, (metric, scale) in METRICS.items():
        found[name] = round(number[metric] * scale, 2)
    stalls = {
        key.removeprefix(STALL[0]).removesuffix(STALL[1]): value
        for key, value in number.items()
        if key.startswith(STALL[0]) and key.endswith(STALL[1]) and "selected" not in key
    }
    total = sum(stalls.values()) or 1.0
    main = sorted(stalls, key=stalls.__getitem__, reverse=True)[:2]
    found["waits_pct"] = {name: round(100 * stalls[name] / total) for name in main}
    return found


def short(name: str) -> str:
    """Of a function in C++, the name alone: no namespaces, types and arguments."""
    for unnamed in ("(anonymous namespace)::", "<unnamed>::"):
        name = name.replace(unnamed, "")
    return re.split(r"[<(]", name.removeprefix("void "))[0].split("::")[-1]


def is_number(text: str) -> bool:
    """In ncu's notation."""
    return text.replace(",", "").replace(".", "", 1).isdigit()


def main() -> int:
    """Runs itself under ncu."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("results", type=Path, help="a file of polyops bench --json")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--below", type=float, default=90.0, help="percent of a copy's speed")
    which.add_argument("--targets", action="store_true", help="rows below their op's, instead")
    parser.add_argument("--least-mb", type=float, default=64.0, help="that a row moves")
    parser.add_argument("--json", type=Path, default=Path("limits.json"))
    parser.add_argument("--call", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.call:
        call(json.loads(args.results.read_text()))
        return 0
    measured = json.loads(args.results.read_text())
    if args.targets and not all("moving_pct" in row for row in measured["rows"]):
        parser.error(f"--targets: {args.results} does not say moving_pct of every row")
    rows = [
        row
        for row in measured["rows"]
        if (row["moving_pct"] < target(row) if args.targets else row["limit_pct"] < args.below)
        and row["gbs"] * row["polyops_us"] >= args.least_mb * 1e3
        and not row["kernel"].startswith(("stock (", "error:"))
    ]
    found = []
    for row, launches in zip(rows, profiled(rows), strict=True):
        kernels = list(map(figures, launches))
        about = {key: row[key] for key in ("limit_pct", "moving_pct") if key in row}
        found.append({"row": named(row), "bound": bound(row, kernels), **about, "kernels": kernels})
    text = ",\n".join(map(json.dumps, found))
    machine = json.dumps(measured["machine"])
    args.json.write_text(f'{{"machine": {machine}, "rows": [\n{text}\n]}}\n')
    counts = Counter(each["bound"] for each in found).most_common()
    print(f"{args.json}: {len(found)} rows:", *(f"{count} {name}" for name, count in counts))
    return 0


if __name__ == "__main__":
    sys.exit(main())
