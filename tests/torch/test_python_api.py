"""The public functions, and what the import does: environment, versions, silence."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from fresh import output, run_python

import polyops

ROOT = Path(polyops.__file__).parent


@pytest.fixture(autouse=True)
def everything_enabled():
    yield
    polyops.enable()
    polyops._C.set_gate(True)
    polyops.patch()


# --- import --------------------------------------------------------------------------------------


def test_import_prints_nothing():
    done = run_python("import polyops")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_import_hides_only_the_override_warning():
    code = """
import warnings, torch
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import polyops
    torch.mm(torch.ones(2, 2), torch.ones(2, 2), out=torch.ones(3))  # resizes: torch warns
print([str(w.message) for w in seen][0])
"""
    done = run_python(code)
    assert "An output with one or more elements was resized" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.2.3", "built for torch {built}, and this is torch 1.2.3"),
        (None, "needs PyTorch, which is not installed"),
    ],
)
def test_other_torch_is_refused_before_any_library_is_opened(tmp_path, version, message):
    """The other torch is a folder that only has a version and fails when imported."""
    (tmp_path / "polyops").symlink_to(ROOT)
    if version is not None:
        (tmp_path / "torch").mkdir()
        (tmp_path / "torch" / "__init__.py").write_text("raise SystemError('torch was imported')")
        (tmp_path / "torch" / "version.py").write_text(f"__version__ = '{version}'\n")
    code = f"""
import sys
sys.path = [{str(tmp_path)!r}] + [p for p in sys.path if "site-packages" not in p]
try:
    import polyops
except ImportError as error:
    print(error)
opened = open("/proc/self/maps").read()
print("opened", "libtorch" in opened or "polyops" in opened)
"""
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True
    )
    built = polyops._C.TORCH_VERSION.partition("+")[0]
    said, opened = done.stdout.splitlines()
    assert message.format(built=built) in said
    assert f"pip install torch=={built}" in said
    assert opened == "opened False"


def test_sources_that_are_not_built_say_what_to_do(tmp_path):
    (tmp_path / "polyops").mkdir()
    for name in ("__init__.py", "_compat.py"):
        shutil.copy(ROOT / name, tmp_path / "polyops")
    done = run_python("import polyops", tmp_path)
    error = done.stderr.splitlines()[-1]
    assert error.startswith(f"ImportError: polyops is not built in {tmp_path / 'polyops'}")
    assert "pip install --no-build-isolation" in error


def test_version_check_ignores_the_local_label():
    from polyops import _compat

    release = torch.__version__.partition("+")[0]
    _compat.check_torch(f"{release}+another.build")
    with pytest.raises(ImportError, match=r"was built for torch 0\.0\.1"):
        _compat.check_torch("0.0.1")


def test_version_matches_the_build():
    cmake = (ROOT.parents[1] / "CMakeLists.txt").read_text()
    assert f"project(polyops VERSION {polyops.__version__} " in cmake


# --- environment ---------------------------------------------------------------------------------

STATE = """
import json, torch, polyops
print(json.dumps({op: polyops.is_enabled(op) for op in polyops.ops()}))
"""


@pytest.mark.parametrize(
    ("variables", "off"),
    [
        ({}, set()),
        ({"POLYOPS_DISABLE": "softmax, mm"}, {"softmax", "mm"}),
        ({"POLYOPS_DISABLE": "softmax,mm", "POLYOPS_OP_MM": "1"}, {"softmax"}),
        ({"POLYOPS_OP_SOFTMAX": "0"}, {"softmax"}),
        ({"POLYOPS_ENABLE": "mm,addmm"}, set(polyops.ops()) - {"mm", "addmm"}),
        (
            {"POLYOPS_ENABLE": "mm,addmm", "POLYOPS_DISABLE": "mm", "POLYOPS_OP_RELU": "1"},
            set(polyops.ops()) - {"addmm", "relu"},
        ),
    ],
)
def test_ops_switched_by_the_environment(variables, off):
    state = output(STATE, **variables)
    assert {op for op, on in state.items() if not on} == off


def test_op_disabled_by_the_environment_is_not_registered():
    code = """
import json, polyops
def registered():
    return sorted({o["op"] for o in polyops._C.overloads() if o["device"]})
seen = [registered()]
polyops.enable()
try:
    polyops.enable("softmax")
except ValueError as error:
    seen.append(str(error))
seen.append(polyops.is_enabled("softmax"))
with polyops.only("relu"):
    pass
seen.append(polyops.is_enabled("softmax"))
print(json.dumps(seen))
"""
    registered, error, *after = output(code, POLYOPS_DISABLE="softmax")
    served = {op for kernel in polyops._C.kernels() for op in kernel["public_ops"]}
    assert set(registered) <= served - {"softmax"}
    on_cpu = {op for k in polyops._C.kernels() if k["device"] == "cpu" for op in k["public_ops"]}
    assert set(registered) >= on_cpu - {"softmax"}
    assert "softmax" in error
    assert "POLYOPS_" in error
    assert after == [False, False]


def test_autopatch_off():
    code = """
import json, torch, polyops
x = torch.randn(64, 64)
torch.softmax(x, -1)
seen = [polyops.is_patched(), polyops.stats().get("softmax", {"hits": 0, "declined": {}})]
polyops.patch()
torch.softmax(x, -1)
print(json.dumps([*seen, polyops.is_patched(), polyops.stats()["softmax"]]))
"""
    before, no_calls, after, calls = output(code, POLYOPS_AUTOPATCH="0", POLYOPS_GATE="0")
    assert (before, after) == (False, True)
    assert no_calls["hits"] == 0
    assert not no_calls["declined"]
    assert calls["hits"] == 1


KERNELS = """
import json, torch, polyops
torch.softmax(torch.randn(64, 64), -1)
print(json.dumps(polyops.stats()["softmax"]))
"""


def test_gates_lifted():
    assert output(KERNELS, POLYOPS_GATE="0")["hits"] == 1


@pytest.mark.parametrize("isa", polyops._C.families()[0]["isas"])
def test_isa_forced(isa):
    kernels = output(KERNELS, POLYOPS_GATE="0", POLYOPS_CPU_ISA=isa)["kernels"]
    assert len(kernels) == 1
    assert next(iter(kernels)).endswith(f"__{isa}")


def test_kernel_forced():
    kernels = output(KERNELS, POLYOPS_FORCE="softmax=softmax_lastdim__scalar")["kernels"]
    assert kernels == {"softmax_lastdim__scalar": 1}


def test_log():
    done = run_python(KERNELS, POLYOPS_LOG="dispatch", POLYOPS_GATE="0")
    assert done.returncode == 0
    logged = [line for line in done.stderr.splitlines() if "softmax" in line]
    assert len(logged) == 1
    assert "aten::_softmax" in logged[0]
    assert "softmax_lastdim__" in logged[0]


def test_plugin_path_to_nothing_is_survived():
    code = """
import json, warnings
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    import torch, polyops
torch.softmax(torch.randn(4, 4), -1)
print(json.dumps([str(w.message) for w in seen]))
"""
    warned = output(code, POLYOPS_PLUGIN_PATH="/nowhere/libpolyops_none.so")
    assert len(warned) == 1
    assert "/nowhere/libpolyops_none.so" in warned[0]


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("POLYOPS_DISABLE", "softmx", ["unknown op 'softmx'", ", ".join(polyops.ops())]),
        ("POLYOPS_ENABLE", "mm,nope", ["unknown op 'nope'", ", ".join(polyops.ops())]),
        ("POLYOPS_OP_NOPE", "1", ["nope", ", ".join(polyops.ops())]),
        ("POLYOPS_OP_MM", "yes", ["expected 0 or 1"]),
        ("POLYOPS_GATE", "off", ["expected 0 or 1"]),
        ("POLYOPS_AUTOPATCH", "no", ["expected 0 or 1"]),
        ("POLYOPS_LOG", "all", ["expected dispatch"]),
        ("POLYOPS_CPU_ISA", "mmx", ["mmx", "avx512", "avx2", "scalar"]),
        ("POLYOPS_FORCE", "softmax", ["expected op=kernel"]),
        ("POLYOPS_FORCE", "softmx=a", ["unknown op 'softmx'", "softmax_backward"]),
        ("POLYOPS_FORCE", "softmax=a", ["'a'", "softmax_lastdim__scalar"]),
        ("POLYOPS_FORCE", "softmax=gelu_strided__scalar", ["softmax_lastdim__scalar"]),
        ("POLYOPS_KEEP_MB", "1GB", ["expected a number of MiB"]),
        ("POLYOPS_GATES", "0", ["unknown variable", "POLYOPS_GATE,"]),
    ],
)
def test_wrong_environment_is_a_value_error_that_lists_what_is_known(variable, value, words):
    done = run_python("import polyops", **{variable: value})
    assert done.returncode == 1
    error = done.stderr.splitlines()[-1]
    assert error.startswith("ValueError: ")
    for word in [variable, *words]:
        assert word in error


@pytest.mark.parametrize(("value", "loaded"), [("1", True), ("0", False), ("", False)])
def test_autoload(value, loaded):
    code = "import sys, torch; print('true' if 'polyops' in sys.modules else 'false')"
    assert output(code, POLYOPS_AUTOLOAD=value) is loaded


def test_autoload_never_raises():
    code = "import torch; print(torch.ones(1).item())"
    done = run_python(code, POLYOPS_AUTOLOAD="1", POLYOPS_GATE="maybe")
    assert (done.returncode, done.stdout) == (0, "1.0\n")
    assert "expected 0 or 1" in done.stderr


# --- switches ------------------------------------------------------------------------------------


def enabled() -> set[str]:
    return {op for op in polyops.ops() if polyops.is_enabled(op)}


ALL = set(polyops.ops())


def test_all_ops():
    issue = {"softmax", "layer_norm", "gelu", "relu", "mm", "addmm", "bmm", "baddbmm"}
    assert issue <= ALL
    assert polyops.ops() == sorted(ALL)


def test_switches_as_calls():
    assert enabled() == ALL
    polyops.disable("softmax", "mm")
    assert enabled() == ALL - {"softmax", "mm"}
    polyops.enable("mm")
    assert enabled() == ALL - {"softmax"}
    polyops.only("gelu")
    assert enabled() == {"gelu"}
    polyops.disable()
    assert enabled() == set()
    polyops.enable()
    assert enabled() == ALL


def test_switches_nest_and_restore():
    polyops.disable("relu")
    with polyops.only("softmax", "mm"):
        assert enabled() == {"softmax", "mm"}
        with polyops.disable("mm"):
            assert enabled() == {"softmax"}
            with polyops.enable():
                assert enabled() == ALL
            assert enabled() == {"softmax"}
        assert enabled() == {"softmax", "mm"}
    assert enabled() == ALL - {"relu"}


def test_switch_restores_after_an_exception():
    with pytest.raises(KeyError), polyops.only("mm"):
        raise KeyError
    assert enabled() == ALL


@pytest.mark.parametrize("switch", [polyops.enable, polyops.disable, polyops.only])
def test_unknown_op_changes_nothing(switch):
    with pytest.raises(ValueError, match="unknown op 'softmx'; known ops: ") as error:
        switch("mm", "softmx")
    for op in ALL:
        assert op in str(error.value)
    assert enabled() == ALL


def test_only_needs_a_name():
    with pytest.raises(ValueError, match="known ops: "):
        polyops.only()
    with pytest.raises(ValueError, match="unknown op"):
        polyops.is_enabled("softmx")


def test_disabled_op_runs_on_stock_and_others_still_on_kernels():
    x = torch.randn(64, 64)
    polyops._C.set_gate(False)
    polyops.reset_stats()
    with polyops.disable("softmax"):
        torch.softmax(x, -1)
        F.gelu(x)
    stats = polyops.stats()
    assert "softmax" not in stats or stats["softmax"]["hits"] == 0
    assert stats["gelu"]["hits"] == 1
    torch.softmax(x, -1)
    assert polyops.stats()["softmax"]["hits"] == 1


def test_unpatch_and_patch():
    x = torch.randn(64, 64)
    polyops._C.set_gate(False)
    polyops.unpatch()
    assert not polyops.is_patched()
    polyops.unpatch()
    assert not polyops.explain(torch.softmax, x, -1).calls
    polyops.patch()
    polyops.patch()
    assert polyops.is_patched()
    assert [call.kernel is not None for call in polyops.explain(torch.softmax, x, -1).calls] == [
        True
    ]


# --- stats and explain ---------------------------------------------------------------------------


def test_stats_count_hits_kernels_and_reasons():
    x = torch.randn(64, 64)
    polyops._C.set_gate(False)
    polyops.reset_stats()
    for _ in range(3):
        torch.softmax(x, -1)
    torch.softmax(x[:0], -1)
    stats = polyops.stats()["softmax"]
    assert stats["hits"] == 3
    assert sum(stats["kernels"].values()) == 3
    assert stats["declined"] == {"empty": 1}
    polyops.reset_stats()
    assert not any(of["hits"] or of["declined"] for of in polyops.stats().values())


def test_explain_names_kernels_and_reasons_and_returns_the_result():
    x = torch.randn(64, 64)
    polyops._C.set_gate(False)

    def work(scale, *, dim):
        return torch.softmax(x[:0], dim), torch.softmax(scale * x, dim)

    explained = polyops.explain(work, 2.0, dim=-1)
    declined, taken = explained.calls
    assert declined == polyops.Call("aten::_softmax", None, "empty")
    assert taken.overload == "aten::_softmax"
    assert taken.kernel is not None
    assert taken.reason is None
    torch.testing.assert_close(explained.result[1], torch.softmax(2.0 * x, -1))
    assert str(explained) == f"aten::_softmax -> stock: empty\naten::_softmax -> {taken.kernel}"


def test_explain_sees_backward_and_counts_repeats():
    x = torch.randn(64, 64, requires_grad=True)
    polyops._C.set_gate(False)
    y = F.gelu(F.gelu(x))
    explained = polyops.explain(y.backward, torch.randn(64, 64))
    assert [call.overload for call in explained.calls] == ["aten::gelu_backward"] * 2
    assert str(explained).endswith("  x2")


def test_explain_of_nothing_and_of_an_error():
    assert "no call" in str(polyops.explain(torch.ones, 2))
    with pytest.raises(RuntimeError):
        polyops.explain(torch.mm, torch.ones(2, 3), torch.ones(2, 3))


def test_headers():
    include = Path(polyops.get_include())
    assert (include / "polyops" / "abi.h").is_file()
    assert (include / "polyops" / "ops" / "softmax.h").is_file()
