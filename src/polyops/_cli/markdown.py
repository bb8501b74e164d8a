"""The op x device table of OPS.md: `polyops info --markdown`."""

from polyops import _C
from polyops._cli.plain_call import DTYPES, kernel_of

BEGIN = "<!-- op table: begin (polyops info --markdown) -->"
END = "<!-- op table: end -->"


def op_table() -> str:
    """Per op the overloads taken, the dtypes taken, and per device the ISAs that have kernels.

    A device without any runs stock's.
    """
    devices = sorted({kernel["device"] for kernel in _C.kernels()})
    lines = [row("op", "overloads taken", "dtypes on cpu", *devices)]
    lines.append("|" + "---|" * (3 + len(devices)))
    for op in sorted(_C.ops()):
        taken = [
            overload["name"].removeprefix("aten::")
            for overload in _C.overloads()
            if overload["op"] == op and overload["taken"]
        ]
        cells = [f"`{op}`", ", ".join(f"`{name}`" for name in taken), ", ".join(dtypes(op, taken))]
        lines.append(row(*cells, *(isas(op, device) for device in devices)))
    return "\n".join(lines)


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def dtypes(op: str, overloads: list[str]) -> list[str]:
    """Those of which a plain call finds a kernel."""
    known = {kernel["name"] for kernel in _C.kernels()}
    return [dtype for dtype in DTYPES if kernel_of(op, overloads[0], dtype) in known]


def isas(op: str, device: str) -> str:
    """In the order in which they are tried; the family of a kernel to which ISAs mean nothing."""
    found = [
        kernel["isa"] or kernel["family"]
        for kernel in _C.kernels()
        if op in kernel["public_ops"] and kernel["device"] == device
    ]
    return ", ".join(dict.fromkeys(found)) or "stock"
