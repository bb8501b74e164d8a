"""Fits the curves of gelu and writes tables16.h and tables8.h beside itself. Needs mpmath, numpy.

All four curves fall from 1/2 at t = 0 to 0 and give the value at -t; the value at +t is 1 minus it.
Each is cut into intervals around k * width, with one polynomial in t - k * width per interval,
fitted to the smallest largest relative error (Lawson's reweighted least squares) and rounded to
float32 from the highest coefficient down, the lower ones being fitted again each time. The last
interval is 0 and stands for all t beyond.
"""

from collections.abc import Callable
from pathlib import Path

import mpmath as mp
import numpy as np

mp.mp.dps = 40
WIDTH = {16: mp.mpf(7) / 16, 8: mp.mpf(15) / 16}
DEGREE = {16: {"": 5, "Short": 4}, 8: {"": 8, "Short": 6}}  # Short: for bfloat16


def phi(t: mp.mpf) -> mp.mpf:
    return mp.exp(-t * t / 2) / mp.sqrt(2 * mp.pi)


def erf_value(t: mp.mpf) -> mp.mpf:
    return mp.erfc(t / mp.sqrt(2)) / 2


def erf_slope(t: mp.mpf) -> mp.mpf:
    return erf_value(t) - t * phi(t)


def tanh_inner(t: mp.mpf) -> mp.mpf:
    return 2 * mp.sqrt(2 / mp.pi) * (t + mp.mpf("0.044715") * t**3)


def tanh_value(t: mp.mpf) -> mp.mpf:
    return 1 / (1 + mp.exp(tanh_inner(t)))


def tanh_slope(t: mp.mpf) -> mp.mpf:
    value = tanh_value(t)
    inner = 2 * mp.sqrt(2 / mp.pi) * (1 + 3 * mp.mpf("0.044715") * t**2)
    return value - t * value * (1 - value) * inner


Curve = Callable[[mp.mpf], mp.mpf]


def fit(
    curve: Curve, weight: Curve, center: mp.mpf, low: mp.mpf, high: mp.mpf, degree: int
) -> tuple[list[np.float32], float]:
    """Coefficients, constant first, and the largest error relative to weight."""
    points = 60 * (degree + 1)
    angles = [mp.pi * (2 * i + 1) / (2 * points) for i in range(points)]
    at = [(low + high) / 2 + (high - low) / 2 * mp.cos(a) for a in angles]
    target = np.array([float(curve(t) / weight(t)) for t in at], dtype=np.longdouble)
    scale = np.array([float(1 / weight(t)) for t in at], dtype=np.longdouble)
    local = np.array([float(t - center) for t in at], dtype=np.longdouble)
    columns = np.stack([local**p * scale for p in range(degree + 1)], axis=1)
    fixed: dict[int, np.float32] = {0: np.float32(0.5)} if low == 0 else {}
    for power in range(degree, -1, -1):
        if power in fixed:
            continue
        free = [p for p in range(degree + 1) if p not in fixed]
        rest = target - sum(columns[:, p] * np.longdouble(c) for p, c in fixed.items())
        lawson = np.full(points, 1.0)
        for _ in range(60):
            root = np.sqrt(lawson)
            matrix = (columns[:, free] * root[:, None]).astype(float)
            found = np.linalg.lstsq(matrix, (rest * root).astype(float), rcond=None)[0]
            error = np.abs(columns[:, free] @ found - rest).astype(float)
            lawson *= error + 1e-3 * error.max() + 1e-300
            lawson /= lawson.sum()
        fixed[power] = np.float32(found[free.index(power)])
    value = sum(columns[:, p] * np.longdouble(c) for p, c in fixed.items())
    return [fixed[p] for p in range(degree + 1)], float(np.abs(value - target).max())


def table(name: str, curve: Curve, weight: Curve, nodes: int, degree: int) -> str:
    width = WIDTH[nodes]
    rows: list[list[np.float32]] = []
    errors: list[float] = []
    for k in range(nodes - 1):
        low, high = max(mp.mpf(0), (k - mp.mpf(1) / 2) * width), (k + mp.mpf(1) / 2) * width
        row, error = fit(curve, weight, k * width, low, high, degree)
        rows.append(row)
        errors.append(error)
    rows.append([np.float32(0)] * (degree + 1))
    near = max(e for k, e in enumerate(errors) if k * width < 3.5)
    text = f"// Largest relative error up to 3.5: {near:.1e}, beyond: {max(errors):.1e}.\n"
    text += f"constexpr Curve<{nodes}, {degree}> {name} = {{{float(width)!r}f, {{\n"
    for power in range(degree + 1):
        numbers = [f"{row[power]:.8e}f" for row in rows]
        lines = [", ".join(numbers[i : i + 4]) for i in range(0, nodes, 4)]
        text += "    {" + ",\n     ".join(lines) + "},\n"
    return text + "}};\n"


CURVES: dict[str, tuple[Curve, Curve]] = {
    "kErfValue": (erf_value, erf_value),
    "kErfSlope": (erf_slope, lambda t: erf_value(t) + t * phi(t)),
    "kTanhValue": (tanh_value, tanh_value),
    "kTanhSlope": (tanh_slope, lambda t: tanh_value(t) * (1 + t)),
}

HEADER = """\
// The curves of gelu in {nodes} intervals, made by fit_tables.py: of each the half for simd/curve.h.
// Value: gelu(x) / x. Slope: d gelu(x) / dx; its errors are relative to a bound without its zero.
// Short: for bfloat16, whose own rounding is 2e-3. Past {end} the curves are 0 (below {tiny:.0e}).
#ifndef POLYOPS_CPU_GELU_TABLES{nodes}_H_
#define POLYOPS_CPU_GELU_TABLES{nodes}_H_

#include "simd/curve.h"

namespace polyops::cpu {{
namespace {{

// clang-format off

"""

FOOTER = """
// clang-format on

}}  // namespace
}}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_GELU_TABLES{nodes}_H_
"""


def main() -> None:
    for nodes, width in WIDTH.items():
        end = (nodes - mp.mpf(3) / 2) * width
        tables = [
            table(name + suffix, curve, weight, nodes, degree)
            for suffix, degree in DEGREE[nodes].items()
            for name, (curve, weight) in CURVES.items()
        ]
        tiny = float(abs(erf_slope(end)))
        header = HEADER.format(nodes=nodes, end=mp.nstr(end, 3), tiny=tiny)
        text = header + "\n".join(tables) + FOOTER.format(nodes=nodes)
        Path(__file__).with_name(f"tables{nodes}.h").write_text(text)


if __name__ == "__main__":
    main()
