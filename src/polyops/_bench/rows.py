"""Measures rows. A row is what --json writes; its keys are fixed, readers depend on them."""

from typing import TypedDict

from typing_extensions import NotRequired

from polyops._bench.device_clock import DeviceTiming, Other
from polyops._bench.inputs import Case
from polyops._bench.measure import TINY_US, Timing, disagreement, served_by
from polyops._bench.shapes import Spec
from polyops._bench.target import Target

OVERHEAD_US = 0.3
LOSS = 0.97


class Row(TypedDict):
    """A measured row.

    kernel: the one that ran, or "stock (reason)", or "error: ..." where the results disagree.
    p20, p80: percentiles of ratio over the rounds. limit_pct: 100 x the time that the measured
    bandwidth or peak rate allows / polyops' time. On a device these times are the device's, and
    host_*_us what the host takes to issue the call; moving_pct: 100 x the time of the simplest
    kernel that moves as many bytes / polyops' time; others: calls of other libraries, by name.
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
    host_stock_us: NotRequired[float]
    host_polyops_us: NotRequired[float]
    moving_pct: NotRequired[float]
    others: NotRequired[dict[str, Other]]


def run(target: Target, spec: Spec) -> Row:
    case = target.prepared(spec)
    kernel, reason = served_by(case, spec.overload)
    name = kernel or f"stock ({reason})"
    problem = disagreement(spec, case)
    timing = target.time(case, target.others(spec, case))
    if case.flops:
        quickest = min(timing.polyops_us, timing.stock_us)
        target.saw_gflops(spec.dtype, case.flops / quickest / 1e3)
    row = row_of(spec, case, timing, target.bandwidth(case))
    row["kernel"] = f"error: {name}: {problem}" if problem else name
    return row


def row_of(spec: Spec, case: Case, timing: Timing, bandwidth: float) -> Row:
    """The row, held against that many GB/s; without the kernel's name."""
    us = timing.polyops_us
    row = Row(
        op=spec.op,
        overload=spec.overload,
        direction=spec.direction,
        dtype=spec.dtype,
        shape=spec.shape(),
        layout=spec.layout,
        device=spec.device,
        kernel="",
        stock_us=round(timing.stock_us, 3),
        polyops_us=round(us, 3),
        ratio=round(timing.ratio, 4),
        p20=round(timing.p20, 4),
        p80=round(timing.p80, 4),
        gbs=round(case.bytes / us / 1e3, 2),
        gflops=round(case.flops / us / 1e3, 2),
        limit_pct=round(100 * case.bytes / us / 1e3 / bandwidth, 1),
    )
    if isinstance(timing, DeviceTiming):
        row["host_stock_us"] = round(timing.host_stock_us, 3)
        row["host_polyops_us"] = round(timing.host_polyops_us, 3)
        row["moving_pct"] = round(100 * timing.moving_us / us, 1)
        row["others"] = timing.others
    return row


def settle_limits(target: Target, rows: list[Row]) -> None:
    """Once all rows have shown what this machine's peak is, holds products against it too."""
    for row in rows:
        if row["gflops"]:
            peak_pct = 100 * row["gflops"] / target.peak_gflops(row["dtype"])
            row["limit_pct"] = round(max(row["limit_pct"], peak_pct), 1)


def is_error(row: Row) -> bool:
    return row["kernel"].startswith("error:")


def is_tiny(row: Row) -> bool:
    return row["stock_us"] < TINY_US


def is_taken(row: Row) -> bool:
    return not row["kernel"].startswith(("stock (", "error:"))


def host_us(row: Row) -> tuple[float, float]:
    """Of stock and of polyops: on the CPU the time of the call is the host's."""
    stock = row.get("host_stock_us", row["stock_us"])
    return stock, row.get("host_polyops_us", row["polyops_us"])


def overhead_us(row: Row) -> float:
    stock, ours = host_us(row)
    return ours - stock


def is_loss(row: Row) -> bool:
    """Slower than promised: by its ratio, or a tiny call by what is added to it."""
    return overhead_us(row) > OVERHEAD_US if is_tiny(row) else row["ratio"] < LOSS
