"""The summary of a run, and its tables: losses first."""

import math
from collections.abc import Callable, Sequence
from operator import itemgetter
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from polyops._bench.memory import MemoryRow
from polyops._bench.rows import (
    LOSS,
    OVERHEAD_US,
    Row,
    host_us,
    is_error,
    is_loss,
    is_taken,
    is_tiny,
    overhead_us,
)


def geomean(ratios: Sequence[float]) -> float | None:
    return math.exp(sum(map(math.log, ratios)) / len(ratios)) if ratios else None


def _of(rows: Sequence[Row]) -> dict[str, Any]:
    """Of rows that are no overhead rows."""
    ratios = [row["ratio"] for row in rows]
    mean = geomean(ratios)
    return {
        "rows": len(rows),
        "taken": sum(map(is_taken, rows)),
        "geomean": None if mean is None else round(mean, 4),
        "worst": min(ratios, default=None),
        f"below_{LOSS}": sum(map(is_loss, rows)),
    }


def _overhead(rows: Sequence[Row]) -> dict[str, Any]:
    added = [overhead_us(row) for row in rows]
    return {
        "rows": len(rows),
        "median_us": round(median(added), 3) if added else None,
        "worst_us": round(max(added), 3) if added else None,
        f"above_{OVERHEAD_US}us": sum(map(is_loss, rows)),
    }


def _others(rows: Sequence[Row]) -> dict[str, Any]:
    """Of each other library, the geomean of its ratios, and polyops' on the same rows."""
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row.get("others", {})):
        of = [row for row in rows if name in row.get("others", {})]
        found[name] = {
            "rows": len(of),
            "geomean": geomean([row["others"][name]["ratio"] for row in of]),
            "polyops_geomean": geomean([row["ratio"] for row in of]),
        }
    return found


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    good = [row for row in rows if not is_error(row)]
    sized = [row for row in good if not is_tiny(row)]
    tiny = [row for row in good if is_tiny(row)]
    ops = sorted({row["op"] for row in sized})
    others = _others(sized)
    return {
        **_of(sized),
        "errors": len(rows) - len(good),
        "by_op": {op: _of([row for row in sized if row["op"] == op]) for op in ops},
        "overhead": {
            "taken": _overhead([row for row in tiny if is_taken(row)]),
            "declined": _overhead([row for row in tiny if not is_taken(row)]),
        },
        **({"others": others} if others else {}),
    }


def show(console: Console, title: str, machine: str, rows: Sequence[Row]) -> None:
    console.print(f"[bold]{title}[/]\n{machine}; ratio = stock / polyops, above 1 is faster")
    good = [row for row in rows if not is_error(row)]
    sized = sorted((row for row in good if not is_tiny(row)), key=lambda row: row["ratio"])
    tiny = sorted((row for row in good if is_tiny(row)), key=overhead_us, reverse=True)
    for row in (row for row in rows if is_error(row)):
        console.print(f"[red]{row['overload']} {row['dtype']} {row['shape']}: {row['kernel']}[/]")
    if sized:
        console.print(_rows_table(sized))
    if tiny:
        console.print(_overhead_table(tiny))
    summary = summarize(rows)
    if sized:
        console.print(_summary_table(summary))
    for name, of in summary.get("others", {}).items():
        console.print(
            f"{name}: {of['geomean']:.3f} in the geomean of {of['rows']} rows, "
            f"polyops {of['polyops_geomean']:.3f}"
        )
    for kind, of in summary["overhead"].items():
        if of["rows"]:
            console.print(
                f"overhead, tiny calls {kind}: median {of['median_us']:+.2f} us, worst "
                f"{of['worst_us']:+.2f} us, {of[f'above_{OVERHEAD_US}us']} of {of['rows']} above "
                f"+{OVERHEAD_US} us"
            )


def show_memory(console: Console, rows: Sequence[MemoryRow]) -> None:
    table = _table("kept memory: call", "shape", "MB", "system us", "kept us", "ratio", "p20-p80")
    for row in sorted(rows, key=lambda row: row["ratio"]):
        table.add_row(
            row["call"],
            row["shape"],
            f"{row['result_mb']:.1f}",
            f"{row['stock_us']:.1f}",
            f"{row['kept_us']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['p20']:.2f}-{row['p80']:.2f}",
        )
    mean = geomean([row["ratio"] for row in rows])
    console.print(table, f"stock's kernels on both sides, float32; geomean {mean:.2f}")


Column = tuple[str, Callable[[Row], str]]

CALL: list[Column] = [
    ("overload", itemgetter("overload")),
    ("dir", lambda row: row["direction"][:3]),
    ("dtype", itemgetter("dtype")),
    ("shape", itemgetter("shape")),
    ("layout", itemgetter("layout")),
]
TIMES: list[Column] = [
    ("stock us", lambda row: f"{row['stock_us']:.1f}"),
    ("polyops us", lambda row: f"{row['polyops_us']:.1f}"),
    ("ratio", lambda row: f"{row['ratio']:.2f}"),
    ("p20-p80", lambda row: f"{row['p20']:.2f}-{row['p80']:.2f}"),
]
RATES: list[Column] = [
    ("GB/s", lambda row: f"{row['gbs']:.1f}"),
    ("GF/s", lambda row: f"{row['gflops']:.0f}" if row["gflops"] else ""),
    ("% limit", lambda row: f"{row['limit_pct']:.0f}"),
]
MOVING: Column = ("% moving", lambda row: f"{row.get('moving_pct', 0.0):.0f}")
HOST: list[Column] = [
    ("host stock us", lambda row: f"{host_us(row)[0]:.2f}"),
    ("host polyops us", lambda row: f"{host_us(row)[1]:.2f}"),
]
ADDED: Column = ("added us", lambda row: f"{overhead_us(row):+.2f}")
KERNEL: Column = ("kernel", itemgetter("kernel"))


def _other(name: str) -> Column:
    def cell(row: Row) -> str:
        other = row.get("others", {}).get(name)
        return f"{other['ratio']:.2f}" if other else ""

    return (f"{name} ratio", cell)


NUMBERS = {"us", "ratio", "p20-p80", "GB/s", "GF/s", "limit", "moving", "MB"}


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.split()[-1] in NUMBERS
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    return table


def _table_of(rows: Sequence[Row], columns: Sequence[Column]) -> Table:
    table = _table(*(name for name, _ in columns))
    for row in rows:
        style = "red" if is_loss(row) else "" if is_taken(row) else "dim"
        table.add_row(*(cell(row) for _, cell in columns), style=style)
    return table


def _rows_table(rows: Sequence[Row]) -> Table:
    others = dict.fromkeys(name for row in rows for name in row.get("others", {}))
    host = [MOVING, *HOST] if any("host_stock_us" in row for row in rows) else []
    return _table_of(rows, [*CALL, *TIMES, *map(_other, others), *RATES, *host, KERNEL])


def _overhead_table(rows: Sequence[Row]) -> Table:
    """Of a device: its own times beside the host's, which the rows are judged by."""
    (call, *rest), device = CALL, any("host_stock_us" in row for row in rows)
    of_host = HOST if device else [(name.removeprefix("host "), cell) for name, cell in HOST]
    first = (f"overhead: {call[0]}", call[1])
    return _table_of(rows, [first, *rest, *(TIMES if device else []), *of_host, ADDED, KERNEL])


def _summary_table(summary: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("op", "rows", "taken", "geomean", "worst", f"below {LOSS}"):
        table.add_column(column, justify="left" if column == "op" else "right")
    for name, of in [*summary["by_op"].items(), ("all", summary)]:
        table.add_row(
            name,
            str(of["rows"]),
            str(of["taken"]),
            f"{of['geomean']:.3f}",
            f"{of['worst']:.2f}",
            str(of[f"below_{LOSS}"]),
            style="bold" if name == "all" else "",
        )
    return table
