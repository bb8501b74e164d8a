"""Plug-ins named by POLYOPS_PLUGIN_PATH, good and broken, each in a fresh process."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import polyops

PLUGINS = Path(__file__).resolve().parents[1] / "plugin"

# Imports polyops, runs relu, and prints the result, the family table and the warnings.
PROGRAM = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import torch
    import polyops
    out = torch.relu(torch.tensor([-1.0, 2.0])).tolist()
print(json.dumps({
    "out": out,
    "families": polyops._C.families(),
    "warnings": [[type(w.message).__name__, str(w.message)] for w in caught],
    "kernels": polyops.stats()["relu"]["kernels"],
}))
"""

# What the warning must name beside the file: what was expected and what was found.
BROKEN = {
    "version": ["ABI version", "expected"],
    "symbol": ["polyops_backend_init", "expected"],
    "null": ["NULL", "expected"],
    "init_throws": ["polyops_backend_init threw"],
    "probe": ["no such chip on the bus"],
    "probe_throws": ["probe threw", "the driver is on fire"],
}


def compile_plugin(source: Path, target: Path, *flags: str) -> None:
    compiler = shutil.which("c++" if source.suffix == ".cc" else "cc")
    assert compiler, "no compiler"
    standard = "-std=c++20" if source.suffix == ".cc" else "-std=c11"
    command = [compiler, standard, "-shared", "-fPIC", "-O1", f"-I{polyops.get_include()}", *flags]
    subprocess.check_call([*command, str(source), "-o", str(target), "-lm"])


def run(plugin_path: str, **environment: str) -> dict[str, object]:
    import json

    variables = {k: v for k, v in os.environ.items() if not k.startswith("POLYOPS_")}
    variables |= {"POLYOPS_PLUGIN_PATH": plugin_path, **environment}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=variables, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    assert result["out"] == [0.0, 2.0]
    return result


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("good") / "libpolyops_toychip.so"
    compile_plugin(PLUGINS / "toychip.c", library)
    return library


def family_of(result: dict[str, object], library: Path) -> dict[str, object]:
    families = result["families"]
    assert isinstance(families, list)
    return next(f for f in families if f["path"] == str(library))


def test_good_plugin_runs_when_forced(good: Path) -> None:
    kernels = [k.strip() for k in _kernel_names(good)]
    relu = next(name for name in kernels if name.startswith("relu") and "backward" not in name)
    result = run(str(good.parent), POLYOPS_FORCE=f"relu={relu}")
    assert result["warnings"] == []
    assert family_of(result, good)["loaded"] is True
    assert result["kernels"] == {relu: 1}


def _kernel_names(library: Path) -> list[str]:
    code = "import polyops; print('\\n'.join(k['name'] for k in polyops._C.kernels()))"
    environment = {**os.environ, "POLYOPS_PLUGIN_PATH": str(library)}
    names = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    return [name for name in names.split() if "toy" in name]


@pytest.mark.parametrize("fault", BROKEN)
def test_broken_plugin_is_one_warning(fault: str, tmp_path: Path) -> None:
    library = tmp_path / f"libpolyops_broken_{fault}.so"
    compile_plugin(PLUGINS / "broken" / "broken.cc", library, f"-DBROKEN_{fault.upper()}")
    result = run(str(library))
    warnings = result["warnings"]
    assert isinstance(warnings, list)
    assert [kind for kind, _ in warnings] == ["UserWarning"]
    text = warnings[0][1]
    for part in (str(library), *BROKEN[fault]):
        assert part in text
    assert family_of(result, library)["loaded"] is False


def test_good_beside_broken_and_not_a_library(good: Path, tmp_path: Path) -> None:
    shutil.copy(good, tmp_path / "libpolyops_toychip.so")
    (tmp_path / "libpolyops_text.so").write_text("not a library")
    result = run(str(tmp_path))
    warnings = result["warnings"]
    assert isinstance(warnings, list)
    assert len(warnings) == 1
    assert "libpolyops_text.so" in warnings[0][1]
    assert family_of(result, tmp_path / "libpolyops_toychip.so")["loaded"] is True


def test_library_that_a_plugin_needs_is_gone(tmp_path: Path) -> None:
    needed = tmp_path / "libsdk_of_toychip.so"
    source = tmp_path / "sdk.c"
    source.write_text("int sdk_of_toychip;\n")
    compile_plugin(source, needed)
    library = tmp_path / "libpolyops_toychip.so"
    compile_plugin(
        PLUGINS / "toychip.c", library, "-Wl,--no-as-needed", f"-L{tmp_path}", "-lsdk_of_toychip"
    )
    needed.unlink()
    result = run(str(library))
    warnings = result["warnings"]
    assert isinstance(warnings, list)
    assert len(warnings) == 1
    assert "libsdk_of_toychip.so" in warnings[0][1]
    assert family_of(result, library)["loaded"] is False
