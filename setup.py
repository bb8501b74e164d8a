"""Builds polyops with CMake and packs what CMake installs; the metadata is in pyproject.toml.

CMake builds in build/release, which `make test` shares. Everything that it installs goes into the
wheel, or into src/polyops for an editable install: the torch-facing module, the device families
(polyops/lib) and the headers of plug-ins (polyops/include).
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import setuptools
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

ROOT = Path(__file__).resolve().parent
BUILD_DIR = ROOT / "build" / "release"


def torch_dir() -> Path:
    """The folder of the installed torch, found without importing it."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        sys.exit(
            f"polyops is compiled against the PyTorch it runs in; {sys.executable} has none.\n"
            "Install torch first, then build without isolation:\n"
            "    pip install torch==2.13.0 'setuptools>=77' cmake ninja pybind11\n"
            "    pip install --no-build-isolation ."
        )
    return Path(spec.origin).parent


def torch_version(torch: Path) -> str:
    text = (torch / "version.py").read_text()
    match = re.search(r"^__version__\s*=\s*['\"]([^'\"]+)", text, re.MULTILINE)
    if match is None:
        sys.exit(f"polyops: no version found in {torch / 'version.py'}")
    return match.group(1)


def tool(name: str) -> str:
    """An executable beside this Python (a virtual environment not activated), or on PATH."""
    beside = str(Path(sys.executable).parent)
    found = shutil.which(name, path=os.pathsep.join([beside, os.environ["PATH"]]))
    if found is None:
        sys.exit(f"polyops needs {name} to build: pip install {name}")
    return found


def pybind11_dir() -> str:
    if importlib.util.find_spec("pybind11") is None:
        sys.exit("polyops needs pybind11 to build: pip install pybind11")
    import pybind11

    return pybind11.get_cmake_dir()


class CMakeBuild(build_ext):
    """Configures, builds and installs through CMake; there is no other compiled extension."""

    def run(self) -> None:
        in_source = self.inplace or self.editable_mode
        prefix = ROOT / "src" if in_source else Path(self.build_lib).resolve()
        torch = torch_dir()
        self.configure(torch, in_source)
        jobs = ["-j", str(self.parallel or os.cpu_count() or 1)]
        cmake = tool("cmake")
        subprocess.check_call([cmake, "--build", str(BUILD_DIR), *jobs])
        package = prefix / "polyops"
        for installed in ("lib", "include"):
            shutil.rmtree(package / installed, ignore_errors=True)
        subprocess.check_call([cmake, "--install", str(BUILD_DIR), "--prefix", str(prefix)])
        (package / "_build.py").write_text(
            '"""Written by setup.py."""\n\n'
            f'VERSION = "{self.distribution.get_version()}"\n'
            f'TORCH_VERSION = "{torch_version(torch)}"\n'
        )
        if not in_source:
            shapes = package / "_bench" / "shapes"
            shutil.rmtree(shapes, ignore_errors=True)
            shutil.copytree(ROOT / "benchmarks" / "shapes", shapes)

    def configure(self, torch: Path, in_source: bool) -> None:
        cache = BUILD_DIR / "CMakeCache.txt"
        settings = {
            "Python_EXECUTABLE": sys.executable,
            "POLYOPS_TORCH_DIR": str(torch),
            "pybind11_DIR": pybind11_dir(),
            "CMAKE_MAKE_PROGRAM": tool("ninja"),
            "POLYOPS_BUILD_TORCH": "ON",
            # Where the onednn-devel-... packages put theirs.
            "dnnl_ROOT": sys.prefix,
        }
        known = cache.read_text() if cache.exists() else ""
        # A cache made for another Python or torch keeps that one's paths: begin again. Whether
        # tests are built is kept: `make test` chooses.
        stale = any(
            not re.search(rf"^{key}:\w+={re.escape(value)}$", known, re.MULTILINE)
            for key, value in settings.items()
        )
        tests = "ON" if "POLYOPS_BUILD_TESTS:BOOL=ON" in known else "OFF"
        command = [tool("cmake"), "-S", str(ROOT), "-B", str(BUILD_DIR), "-G", "Ninja"]
        command += ["--fresh"] if known and stale else []
        command += [f"-D{key}={value}" for key, value in settings.items()]
        # A wheel goes where other packages have put their libraries; a clone lies anywhere.
        beside = "" if in_source else "$ORIGIN/../../../.."
        command += [f"-DPOLYOPS_BUILD_TESTS={tests}", f"-DPOLYOPS_WHEEL_RPATH={beside}"]
        subprocess.check_call(command)

    # Editable installs ask where the extension goes; CMake has put it there already.
    def get_output_mapping(self) -> dict[str, str]:
        return {}

    def get_outputs(self) -> list[str]:
        return []

    def copy_extensions_to_source(self) -> None:
        pass


# Said at once, whatever the command: pip would first download everything that polyops depends on.
if int(setuptools.__version__.partition(".")[0]) < 77:
    sys.exit("polyops needs setuptools 77 or newer to build: pip install --upgrade setuptools")
torch_dir()
setup(
    ext_modules=[Extension("polyops._C", sources=[])],
    cmdclass={"build_ext": CMakeBuild},
)
