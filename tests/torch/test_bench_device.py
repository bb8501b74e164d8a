"""Rows and gates of a device."""

import sys
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console
from test_cli import polyops_command, small

import polyops
from polyops import _gates
from polyops._bench import ahead, calls, contestants, gates, report, rows, shapes
from polyops._bench.device import Device, find
from polyops._bench.device_clock import DeviceTiming
from polyops._bench.inputs import Case, nbytes

OPS = {"softmax", "log_softmax", "layer_norm", "rms_norm", "gelu", "relu", "cat", "nll_loss"}
OPS |= {f"upsample_{mode}2d" for mode in ("nearest", "bilinear", "bicubic")}
OPS |= {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "batch_norm", "group_norm"}
OPS |= {"max_pool3d", "avg_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool2d"}
OPS |= {"adaptive_max_pool3d", "convolution", "elu", "glu", "log_sigmoid", "mish", "softplus"}
OPS |= {"embedding", "copy", "cross_entropy", "index_put"}
BACKWARD = {"embedding", "index_put"}
# Forward alone.
FORWARD = {"argmax", "argmin", "max", "min", "sum", "mean", "amax", "amin", "cumsum", "logsumexp"}
FORWARD |= {"any", "linalg_vector_norm"}
FORWARD |= {"std", "std_mean", "var", "var_mean", "gather", "index", "index_add", "index_select"}
FORWARD |= {"scatter_add"}
OPS |= FORWARD
CASE = Case(lambda: None, list, 4000, 0, 4000)


# --- rows ----------------------------------------------------------------------------------------


def test_devices_have_shapes_of_their_own():
    of_device = shapes.load(device="cuda")
    assert {spec.op for spec in of_device} == OPS
    assert {spec.device for spec in of_device} == {"cuda"}
    assert {spec.device for spec in shapes.load()} == {"cpu"}
    largest = max(max(spec.sizes) for spec in shapes.load(["softmax"]))
    assert max(max(spec.sizes) for spec in of_device) > largest
    for op in OPS:
        of = [spec for spec in of_device if spec.op == op]
        directions = {"forward", "backward"}
        assert {spec.direction for spec in of} == (
            {"forward"} if op in FORWARD else {"backward"} if op in BACKWARD else directions
        )
        for direction in directions & {spec.direction for spec in of}:
            dtypes = {spec.dtype for spec in of if spec.direction == direction and spec.quick}
            assert dtypes == {"float32", "bfloat16", "float16"}
    with pytest.raises(ValueError, match="unknown op 'mm'"):
        shapes.load(["mm"], device="cuda")


def test_every_row_of_a_device_is_a_call():
    computed = torch._C._dispatch_has_computed_kernel_for_dispatch_key
    for spec in shapes.load(device="cuda"):
        if spec.overload.startswith("cudnn"):  # which no CPU has
            continue
        if spec.op == "avg_pool3d" and spec.dtype != "float32":  # nor these
            continue
        most = 8 if "pool" in spec.op else 4  # as large as windows
        sizes = tuple(min(size, most) for size in spec.sizes)
        options = tuple((k, "9" if k == "lookups" else v) for k, v in spec.options)
        case = calls.make(replace(spec, sizes=sizes, options=options, device="cpu"))
        assert isinstance(case.fn, partial)  # whose arguments another library can be given
        assert case.bytes > 0
        if computed(f"aten::{spec.overload}", "CPU"):  # stock has no gradient of rms_norm there
            case.fn()


def test_tensors_are_made_on_the_device():
    spec = replace(small("native_layer_norm", (4, 8), "contiguous", "float32"), device="meta")
    x, _, weight, bias, _ = calls.make(spec).fn.args
    assert {t.device.type for t in (x, weight, bias)} == {"meta"}


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a device")
@pytest.mark.parametrize("name", ["cuda", "nonsense"])
def test_device_that_is_not_there(name):
    done = polyops_command("bench", "--device", name)
    assert done.returncode == 2
    assert f"polyops bench: no such device: '{name}'; torch " in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_another_device_than_the_present_one(monkeypatch):
    present = torch.device("xpu")
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: present)
    with pytest.raises(ValueError, match=r"no such device: 'cuda'; torch .* finds: cpu, xpu$"):
        find("cuda")
    assert find("xpu") is torch.xpu


@pytest.mark.parametrize("flag", ["compile", "brief"])
def test_what_is_of_devices(flag):
    done = polyops_command("bench", f"--{flag}", "--op", "relu")
    assert done.returncode == 2
    assert f"--{flag} is of devices" in done.stderr


def timing(stock: float, ours: float, host_stock: float, host_ours: float) -> DeviceTiming:
    ratio = stock / ours
    return DeviceTiming(stock, ours, ratio, ratio, ratio, host_stock, host_ours, ours / 2, {})


def test_gate_of_a_tiny_call_goes_by_host_and_device():
    assert timing(4, 2, 6, 6).gate_ratio == 10 / 8
    assert timing(100, 50, 6, 60).gate_ratio == 2


def test_row_of_a_device():
    spec = replace(small("relu", (1000,), "contiguous", "float32"), device="cuda")
    found = rows.row_of(spec, CASE, timing(4, 2, 6, 6.5), bandwidth=4.0)
    assert found["device"] == "cuda"
    assert found["gbs"] == 2.0  # 4000 bytes in 2 us
    assert found["limit_pct"] == 50.0
    assert found["moving_pct"] == 50.0
    assert rows.host_us(found) == (6, 6.5)
    assert rows.overhead_us(found) == 0.5
    assert rows.is_loss(found)  # a tiny one, though its ratio is 2
    large = rows.row_of(spec, CASE, timing(40, 20, 6, 9), bandwidth=4.0)
    assert not rows.is_loss(large)


def test_row_by_a_device_is_printed(target):
    spec = small("relu", (64, 64), "contiguous", "float32")
    found = rows.run(target, spec)
    assert not rows.is_error(found)
    found |= {"stock_us": 20.0, "others": {"compile": {"us": 10.0, "ratio": 1.5, "host_us": 9.0}}}
    tiny = {**found, "stock_us": 2.0}
    console = Console(width=240, record=True)
    about = target.describe()
    assert about["driver"] == "1.2"
    assert about["cache_bytes"] == 1 << 10
    report.show(console, "title", target.heading(about), [found, tiny])
    others = report.summarize([found, tiny])["others"]
    assert others["compile"]["rows"] == 1
    assert others["compile"]["geomean"] == pytest.approx(1.5)
    text = console.export_text()
    for word in (
        "toy",
        "GB/s",
        "compile ratio",
        "1.50",
        "host polyops us",
        "% moving",
        "overhead: overload",
    ):
        assert word in text


# --- others and gates ----------------------------------------------------------------------------


def test_other_libraries_where_they_are_installed(monkeypatch, module):
    gems = SimpleNamespace(_FULL_CONFIG=[("relu", torch.neg), ("gelu", torch.neg, lambda: True)])
    monkeypatch.setitem(sys.modules, "flag_gems", gems)
    contestants._flag_gems.cache_clear()
    try:
        spec = small("relu", (8, 8), "contiguous", "float32")
        unable = small("gelu", (8, 8), "contiguous", "float32")
        able = {each.name(): ["flag_gems"] for each in (spec, unable)}
        target = Device("cpu", module, able=able)
        case = target.prepared(spec)
        found = target.others(spec, case)
        assert found.keys() == {"flag_gems"}
        assert torch.equal(found["flag_gems"](), -case.fn.calls[1].args[0])
        # One that cannot take the call is left out, and so is one that was not able before.
        assert target.others(unable, target.prepared(unable)) == {}
        assert Device("cpu", module).others(spec, case) == {}
    finally:
        contestants._flag_gems.cache_clear()


def test_other_libraries_by_the_arguments_of_theirs(monkeypatch):
    def pool(grad, x, indices, *window):
        return grad, x, indices, window

    def conv2d(x, weight, bias, stride, padding, dilation, groups):
        return stride, groups

    config = [("max_pool2d_backward", pool), ("conv2d", conv2d), ("rms_norm", torch.neg)]
    monkeypatch.setitem(sys.modules, "flag_gems", SimpleNamespace(_FULL_CONFIG=config))
    contestants._flag_gems.cache_clear()
    try:
        gems = contestants._flag_gems()
        assert gems["_fused_rms_norm"] is torch.neg
        found = gems["max_pool2d_with_indices_backward"](1, 2, 3, 4, 5, 6, False, 7)
        assert found == (1, 2, 7, (3, 4, 5, 6, False))
        x = torch.ones(1, 1, 1, 1)
        assert gems["convolution"](x, x, None, [2, 2], [0, 0], [1, 1], False, [0, 0], 4) == (
            [2, 2],
            4,
        )
        with pytest.raises(NotImplementedError):
            gems["convolution"](x, x, None, [2, 2], [0, 0], [1, 1], True, [0, 0], 4)
    finally:
        contestants._flag_gems.cache_clear()


BROKEN_LIBRARY = """
import os
import torch
_FULL_CONFIG = [("relu", torch.neg), ("gelu", lambda x, **_: os.abort())]
"""


def test_a_library_that_ends_its_process_ends_nothing_else(monkeypatch, tmp_path):
    (tmp_path / "flag_gems.py").write_text(BROKEN_LIBRARY)
    monkeypatch.syspath_prepend(tmp_path)  # of new processes, too
    monkeypatch.setattr(ahead, "ROWS_OF_A_PROCESS", 4)
    specs = [small("relu", (8, n), "contiguous", "float32") for n in range(1, 6)]
    specs[1] = small("gelu", (8, 8), "contiguous", "float32")
    known = []
    found = ahead.able(specs, ["liger", "flag_gems"], lambda: known.append(1))
    expected = {spec.name(): ["flag_gems"] for spec in specs}
    assert found == {**expected, specs[1].name(): []}
    assert len(known) == 5


def test_gates_of_a_device(target, tmp_path, monkeypatch):
    monkeypatch.setattr(_gates, "FOLDER", tmp_path)
    spec = small("relu", (64, 64), "contiguous", "float32")
    threads = torch.get_num_threads()
    measured = gates.measure(target, [spec], lambda: None)
    assert torch.get_num_threads() == threads
    assert {point.threads for point in measured.points.values()} == {1}
    file = gates.write(target, measured.points.values())
    assert file.path.stem == file.chip == next(f["chip"] for f in polyops._C.families())
    kernels = {kernel["name"]: kernel for kernel in polyops._C.kernels()}
    assert all(kernels[point.kernel]["device"] == "cpu" for point in file.points)


def test_gates_of_a_device_without_kernels(module):
    with pytest.raises(ValueError, match="no kernels are installed for xpu"):
        gates.check_possible(Device("xpu", module))
    with pytest.raises(ValueError, match="no kernel of xpu ran"):
        gates.write(Device("xpu", module), [])


def test_bytes_between_elements_are_moved_too():
    x = torch.empty(6, 8, dtype=torch.bfloat16)
    assert nbytes(x, None, x.t(), x[:, 2:6]) == 96 + 96 + 48
    assert nbytes(x[:, ::2]) == 96
    assert nbytes(torch.empty(6, 80, dtype=torch.bfloat16)[:, ::40]) == 12 * 32
    assert nbytes(x[:1].expand(5, 8), x[:1, :1]) == 5 * 16 + 2


# The op, tensors that it reads every second element of, and those moved without gaps.
STRIDED = [("relu", 1, 1), ("elu", 1, 1), ("_softmax", 1, 1), ("copy_", 1, 1)]
STRIDED += [("gelu_backward", 2, 1), ("mish_backward", 2, 1), ("threshold_backward", 1, 2)]
STRIDED += [("_log_softmax_backward_data", 1, 2), ("native_layer_norm", 1, 1 + 2 / 32)]


@pytest.mark.parametrize(("overload", "apart", "dense"), STRIDED)
def test_new_results_have_no_gaps(overload, apart, dense):
    case = calls.make(small(overload, (32, 64), "strided", "float32"))
    assert case.bytes == 32 * 64 * 4 * (2 * apart + dense)


def test_what_is_changed_in_place_keeps_its_gaps():
    case = calls.make(small("relu_", (32, 64), "strided", "float32"))
    assert case.bytes == 32 * 64 * 4 * (2 + 2)
