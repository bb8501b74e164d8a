"""Measures rows. A row is what --json writes; its keys are fixed, readers depend on them."""

from typing import TypedDict

from polyops._bench import machine
from polyops._bench.inputs import Case
from polyops._bench.measure import disagreement, prepared, served_by, time_both
from polyops._bench.shapes import Spec

# Below this, stock's time is mostly dispatch: the row is judged by what polyops adds to it.
TINY_US = 10.0
OVERHEAD_US = 0.3
LOSS = 0.97


class Row(TypedDict):
    """A measured row.

    kernel: the one that ran, or "stock (reason)", or "error: ..." where the results disagree.
    p20, p80: percentiles of ratio over the rounds. limit_pct: 100 x the time that the measured
    bandwidth or peak rate allows / polyops' time.
    """

    op: str
    overload: str
    direction: str
    dtype: str
    shape: str
    layout: str
    device: str
    kernel: str
    stock_us: float
    polyops_us: float
    ratio: float
    p20: float
    p80: float
    gbs: float
    gflops: float
    limit_pct: float


def run(spec: Spec) -> Row:
    case = prepared(spec)
    kernel, reason = served_by(case, spec.overload)
    problem = disagreement(spec, case)
    timing = time_both(case)
    us = timing.polyops_us
    name = kernel or f"stock ({reason})"
    if case.flops:
        machine.saw_gflops(spec.dtype, case.flops / min(us, timing.stock_us) / 1e3)
    return Row(
        op=spec.op,
        overload=spec.overload,
        direction=spec.direction,
        dtype=spec.dtype,
        shape=spec.shape(),
        layout=spec.layout,
        device="cpu",
        kernel=f"error: {name}: {problem}" if problem else name,
        stock_us=round(timing.stock_us, 3),
        polyops_us=round(us, 3),
        ratio=round(timing.ratio, 4),
        p20=round(timing.p20, 4),
        p80=round(timing.p80, 4),
        gbs=round(case.bytes / us / 1e3, 2),
        gflops=round(case.flops / us / 1e3, 2),
        limit_pct=round(bandwidth_pct(case, us), 1),
    )


def bandwidth_pct(case: Case, us: float) -> float:
    """Of the bandwidth measured over as much memory: of reading for products, else of a copy."""
    of = machine.read_gbs if case.flops else machine.copy_gbs
    return 100 * case.bytes / us / 1e3 / machine.bandwidth(case.footprint, of)


def settle_limits(rows: list[Row]) -> None:
    """Once all rows have shown what this machine's peak is, holds products against it too."""
    for row in rows:
        if row["gflops"]:
            peak_pct = 100 * row["gflops"] / machine.peak_gflops(row["dtype"])
            row["limit_pct"] = round(max(row["limit_pct"], peak_pct), 1)


def is_error(row: Row) -> bool:
    return row["kernel"].startswith("error:")


def is_tiny(row: Row) -> bool:
    return row["stock_us"] < TINY_US


def is_taken(row: Row) -> bool:
    return not row["kernel"].startswith(("stock (", "error:"))


def overhead_us(row: Row) -> float:
    return row["polyops_us"] - row["stock_us"]


def is_loss(row: Row) -> bool:
    """Slower than promised: by its ratio, or a tiny call by what is added to it."""
    return overhead_us(row) > OVERHEAD_US if is_tiny(row) else row["ratio"] < LOSS
