"""`polyops info`: what is installed, what was loaded or why not, and which kernel serves what."""

import argparse
import sys
from collections.abc import Iterator

import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

import polyops
from polyops import _C
from polyops._bench import machine
from polyops._cli.markdown import op_table
from polyops._cli.plain_call import DTYPES, kernel_of


def run(args: argparse.Namespace) -> int:
    if args.markdown:
        print(op_table())
        return 0
    console = Console(width=None if sys.stdout.isatty() else 240, soft_wrap=True)
    libraries = ", ".join(f"{name} {version}" for name, version in machine.libraries().items())
    console.print(f"polyops  {polyops.__version__}, built for torch {_C.TORCH_VERSION}")
    console.print(f"torch    {torch.__version__} ({libraries})")
    threads = torch.get_num_threads()
    console.print(f"machine  {machine.model_name()}; {threads} of {machine.cores()} cores used")
    console.print(f"headers  {polyops.get_include()}")
    console.print(f"memory   {kept_memory()}")
    for line in settings():
        console.print(escape(f"setting  {line}"))
    console.print(f"state    {'patched' if polyops.is_patched() else 'not patched'}\n")
    console.print(families(), "", overloads(), "", kernels(), sep="\n")
    return 0


def kept_memory() -> str:
    stats = polyops.memory_stats()
    if stats["keeping"]:
        return f"up to {stats['limit_bytes'] >> 20} MiB of freed CPU tensors are kept"
    if not stats["limit_bytes"]:
        return "POLYOPS_KEEP_MB=0: freed CPU tensors are not kept"
    if not polyops.is_patched():
        return "not patched: freed CPU tensors are not kept"
    return "another library's allocator has CPU tensors"


def settings() -> Iterator[str]:
    """What the POLYOPS_ variables changed."""
    policy = _C.policy()
    if not policy["autopatch"]:
        yield "not patched on import"
    if not _C.gate():
        yield "gates lifted"
    if policy["isa"]:
        yield f"CPU instruction set: {policy['isa']}"
    if policy["plugin_path"]:
        yield f"plug-ins: {', '.join(policy['plugin_path'])}"
    for op, kernel in policy["force"].items():
        yield f"{op} forced to {kernel}"
    off = [op for op in polyops.ops() if not polyops.is_enabled(op)]
    if off:
        yield f"disabled: {', '.join(off)}"


def table(*columns: str) -> Table:
    result = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        result.add_column(column, overflow="fold", no_wrap=column == "overload")
    return result


def families() -> Table:
    result = table("family", "device", "chip", "features", "gates", "library")
    for family in _C.families():
        if family["loaded"]:
            state = [family["chip"], family["features"], gate_state(family)]
        else:
            state = ["", f"not loaded: {family['reason']}", ""]
        result.add_row(family["name"], family["device"], *map(escape, state), family["path"])
    return result


def gate_state(family: "_C.Family") -> str:
    device = family["device"]
    measurable = family["chip"] == machine.chip(device)
    on_device = "" if device == "cpu" else f" --device {device}"
    hint = f", run polyops bench{on_device} --write-gates" if measurable else ""
    return family["gates"] + (hint if family["gates"].startswith("conservative") else "")


def overloads() -> Table:
    """Which kernel takes a plain contiguous call of each dtype while gates are lifted."""
    result = table("op", "overload", *DTYPES)
    for overload in sorted(_C.overloads(), key=lambda of: (of["op"], not of["taken"], of["name"])):
        name = overload["name"].removeprefix("aten::")
        if not overload["taken"]:
            cells = [f"left to stock: {overload['note']}"]
        elif overload["shadowed"]:
            cells = ["shadowed: another library registered itself later"]
        elif not polyops.is_enabled(overload["op"]):
            cells = ["disabled"]
        else:
            cells = [kernel_of(overload["op"], name, dtype) for dtype in DTYPES]
        result.add_row(overload["op"], name, *map(escape, cells))
    return result


def kernels() -> Table:
    result = table("op", "direction", "kernels, in the order in which they are tried")
    by_op: dict[tuple[str, str, str], list[str]] = {}
    for kernel in _C.kernels():
        key = (kernel["device"], kernel["op"], kernel["direction"])
        text = kernel["name"] if kernel["usable"] else f"({kernel['name']}: not on this machine)"
        by_op.setdefault(key, []).append(text)
    for (_, op, direction), names in by_op.items():
        result.add_row(op, direction, ", ".join(names))
    return result
