"""benchmarks/nvidia_limits.py, with another program in ncu's place."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "benchmarks" / "nvidia_limits.py"

NCU = """#!/usr/bin/env python3
STALLS = "smsp__average_warps_issue_stalled_{}_per_issue_active.ratio"
NAMES = ["gpu__time_duration.sum", "dram__bytes_read.sum", "dram__bytes_write.sum"]
NAMES += ["dram__throughput.avg.pct_of_peak_sustained_elapsed"]
NAMES += ["smsp__issue_active.avg.pct_of_peak_sustained_active"]
NAMES += ["sm__warps_active.avg.pct_of_peak_sustained_active", "launch__registers_per_thread"]
NAMES += ["launch__waves_per_multiprocessor", STALLS.format("barrier"), STALLS.format("selected")]
def line(*cells):
    print(",".join(f'"{cell}"' for cell in cells))
print("==PROF== Connected")
line("ID", "Kernel Name", *NAMES)
line("", "", *["unit"] * len(NAMES))
for issue in (90, 10):
    line(1, "spin_kernel(long)", *[0] * len(NAMES))
    line(2, "void a::<unnamed>::rows<T, 1>(int)", "20,000", 5e7, 5e7, 60, issue, 50, 32, 1, 3, 9)
"""


def row(**changes: object) -> dict[str, object]:
    found = {
        "op": "relu",
        "overload": "relu",
        "direction": "forward",
        "dtype": "float32",
        "shape": "8x8",
    }
    found |= {"layout": "contiguous", "kernel": "relu__cuda", "limit_pct": 70.0, "gbs": 4000.0}
    return found | {"polyops_us": 25.0, "moving_pct": 80.0} | changes


def limits(
    tmp_path: Path, rows: list[dict[str, object]], *flags: str
) -> "subprocess.CompletedProcess[str]":
    ncu = tmp_path / "ncu"
    ncu.write_text(NCU)
    ncu.chmod(0o755)
    results = tmp_path / "results.json"
    results.write_text(json.dumps({"machine": {"name": "toy"}, "rows": rows}))
    path = f"{tmp_path}:{Path(sys.executable).parent}:/usr/bin:/bin"
    command = [sys.executable, SCRIPT, results, "--json", tmp_path / "limits.json", *flags]
    return subprocess.run(
        list(map(str, command)), env={"PATH": path}, capture_output=True, text=True, check=False
    )


def test_what_binds_rows_that_fall_short(tmp_path):
    above, declined = row(limit_pct=95.0), row(kernel="stock (dtype)")
    done = limits(tmp_path, [row(), above, declined, row(shape="9x9")])
    assert done.returncode == 0, done.stderr
    assert "2 rows: 1 issue 1 barrier" in done.stdout
    first, second = json.loads((tmp_path / "limits.json").read_text())["rows"]
    assert first["row"] == "relu forward float32 8x8 contiguous"
    assert (first["bound"], second["bound"]) == ("issue", "barrier")
    (kernel,) = first["kernels"]
    assert (kernel["kernel"], kernel["us"], kernel["read_mb"]) == ("rows", 20.0, 50.0)
    assert kernel["waits_pct"] == {"barrier": 100}


def test_a_run_of_fewer_rows_is_an_error(tmp_path):
    done = limits(tmp_path, [row(), row(shape="9x9"), row(shape="7x7")])
    assert done.returncode != 0
    assert not (tmp_path / "limits.json").exists()


def test_rows_below_their_target(tmp_path):
    of_rows = {"op": "softmax", "direction": "forward"}
    below = [
        row(**of_rows, shape="1024x8x64 dim=0", moving_pct=89.0),
        row(op="layer_norm", direction="forward", shape="4x32x8x4 over=3", moving_pct=81.0),
    ]
    rows = [
        *below,
        row(),  # of no target
        row(op="avg_pool2d", moving_pct=75.0),
        row(**of_rows, shape="1024x8", moving_pct=81.0),
        row(**of_rows, shape="4x1024x8 dim=-1", moving_pct=81.0),
        row(op="softmax", direction="backward", shape="8x1024", moving_pct=86.0),
    ]
    done = limits(tmp_path, rows, "--targets")
    assert done.returncode == 0, done.stderr
    named = [each["row"] for each in json.loads((tmp_path / "limits.json").read_text())["rows"]]
    assert named == [f"relu forward float32 {each['shape']} contiguous" for each in below]


def test_targets_want_the_simplest_kernels_speed(tmp_path):
    of_a_copy = row()
    del of_a_copy["moving_pct"]
    done = limits(tmp_path, [of_a_copy], "--targets")
    assert done.returncode == 2
    assert "does not say moving_pct" in done.stderr
