"""The summary of a run, and its tables: losses first."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from polyops._bench.memory import MemoryRow
from polyops._bench.rows import (
    LOSS,
    OVERHEAD_US,
    Row,
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


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    good = [row for row in rows if not is_error(row)]
    sized = [row for row in good if not is_tiny(row)]
    tiny = [row for row in good if is_tiny(row)]
    ops = sorted({row["op"] for row in sized})
    return {
        **_of(sized),
        "errors": len(rows) - len(good),
        "by_op": {op: _of([row for row in sized if row["op"] == op]) for op in ops},
        "overhead": {
            "taken": _overhead([row for row in tiny if is_taken(row)]),
            "declined": _overhead([row for row in tiny if not is_taken(row)]),
        },
    }


def show(console: Console, machine: dict[str, Any], rows: Sequence[Row], title: str) -> None:
    libraries = ", ".join(f"{name} {version}" for name, version in machine["libraries"].items())
    console.print(
        f"[bold]{title}[/]\n{machine['chip']}, {machine['threads']} of {machine['cores']} cores; "
        f"torch {machine['torch']} ({libraries}); polyops {machine['polyops']}\n"
        f"copy {machine['copy_gbs']} GB/s, read {machine['read_gbs']} GB/s (256 MB), largest "
        f"float32 mm {machine['peak_gflops']} GF/s; ratio = stock / polyops, above 1 is faster"
    )
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


def _call(row: Row) -> list[str]:
    return [row["overload"], row["direction"][:3], row["dtype"], row["shape"], row["layout"]]


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        numeric = column.split()[-1] in ("us", "ratio", "p20-p80", "GB/s", "GF/s", "limit", "MB")
        table.add_column(column, justify="right" if numeric else "left", no_wrap=numeric)
    return table


def _rows_table(rows: Sequence[Row]) -> Table:
    table = _table(
        *("overload", "dir", "dtype", "shape", "layout", "stock us", "polyops us", "ratio"),
        *("p20-p80", "GB/s", "GF/s", "% limit", "kernel"),
    )
    for row in rows:
        table.add_row(
            *_call(row),
            f"{row['stock_us']:.1f}",
            f"{row['polyops_us']:.1f}",
            f"{row['ratio']:.2f}",
            f"{row['p20']:.2f}-{row['p80']:.2f}",
            f"{row['gbs']:.1f}",
            f"{row['gflops']:.0f}" if row["gflops"] else "",
            f"{row['limit_pct']:.0f}",
            row["kernel"],
            style="red" if is_loss(row) else "" if is_taken(row) else "dim",
        )
    return table


def _overhead_table(rows: Sequence[Row]) -> Table:
    table = _table(
        *("overhead: overload", "dir", "dtype", "shape", "layout", "stock us", "polyops us"),
        *("added us", "kernel"),
    )
    for row in rows:
        table.add_row(
            *_call(row),
            f"{row['stock_us']:.2f}",
            f"{row['polyops_us']:.2f}",
            f"{overhead_us(row):+.2f}",
            row["kernel"],
            style="red" if is_loss(row) else "" if is_taken(row) else "dim",
        )
    return table


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
