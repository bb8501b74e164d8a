"""The dependency rule of the sources: who may include, name and read what.

check_rules.py ROOT          checks the tree at ROOT
check_rules.py --self-check  proves on made-up trees that each rule can fail, and that none does
                             without a cause
Exit status 1 on a breach.
"""

import re
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

SUFFIXES = {".h", ".c", ".cc", ".cpp", ".cu", ".hip", ".inc"}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
TORCH = re.compile(r"^(torch|ATen|c10|caffe2|pybind11)/|^Python\.h$")
VENDOR = re.compile(r"\b(cuda|nvidia|hip|rocm|amd|intel|ascend|onednn|mkl)\b", re.IGNORECASE)
ENVIRONMENT = re.compile(r"\b(secure_getenv|getenv|environ)\b")
C_HEADERS = {
    "float.h",
    "limits.h",
    "math.h",
    "stddef.h",
    "stdint.h",
    "stdio.h",
    "stdlib.h",
    "string.h",
}
POSIX_HEADERS = {"dlfcn.h", "sys/mman.h", "unistd.h"}
# What a family may include beside the standard library and polyops/. A family that is not listed
# brings an SDK of its own, which only its author knows. Linux has to be asked for AMX.
FAMILY_HEADERS = {
    "cpu": {"immintrin.h", "cpuid.h", "sys/syscall.h", "unistd.h"},
    "onednn": {"oneapi/dnnl/dnnl.hpp", "omp.h"},
    "reference": set[str](),
    "gpu": set[str](),
}
# What families share: that of one processor its name, by which gates are kept; those of GPUs the
# shape of a launch and the list of kernels.
SHARED_HEADERS = {"cpu/chip.h", "gpu/launch_shape.h", "gpu/table.h"}
# What stands beside the family that compiles a folder, not in it: the meaning of its names.
PROVIDED_HEADERS = {"gpu": {"grid_barrier.h", "matrix.h", "platform.h"}}


def lines(file: Path) -> list[str]:
    return file.read_text(encoding="utf-8").splitlines()


def includes(file: Path) -> Iterator[tuple[int, bool, str]]:
    """Line number, whether in angle brackets, and name of each include."""
    for number, line in enumerate(lines(file), 1):
        if match := INCLUDE.match(line):
            yield number, match[1] == "<", match[2]


def is_standard(name: str) -> bool:
    return name in C_HEADERS or re.fullmatch(r"[a-z0-9_]+", name) is not None


def check_includes(
    file: Path, system: Callable[[str], bool], *folders: Path
) -> Iterator[tuple[int, str]]:
    """Angle brackets must satisfy `system`; quoted names are files in one of the folders."""
    for number, angle, name in includes(file):
        if angle and not system(name):
            yield number, f"includes <{name}>"
        if not angle and not any((folder / name).is_file() for folder in folders):
            yield number, f'includes "{name}", which is not its own'


def check_torch(root: Path, file: Path) -> Iterator[tuple[int, str]]:
    """Only bindings/ and tests/torch/ know torch."""
    if file.is_relative_to(root / "bindings") or file.is_relative_to(root / "tests" / "torch"):
        return
    for number, _, name in includes(file):
        if TORCH.match(name):
            yield number, f"includes {name} outside of bindings/"


def check_environment(root: Path, file: Path) -> Iterator[tuple[int, str]]:
    """registry/policy.cc alone reads the environment."""
    if file.is_relative_to(root / "tests") or file == root / "registry" / "policy.cc":
        return
    for number, line in enumerate(lines(file), 1):
        if match := ENVIRONMENT.search(line):
            yield number, f"reads the environment ({match[0]}) outside of registry/policy.cc"


def check_registry(root: Path, file: Path) -> Iterator[tuple[int, str]]:
    """registry/ names no vendor and includes nothing but itself, the C++ library and POSIX."""
    registry = root / "registry"
    if not file.is_relative_to(registry):
        return
    for number, line in enumerate(lines(file), 1):
        if match := VENDOR.search(line):
            yield number, f"names a vendor ({match[0]})"
    public = registry / "include"
    if file.is_relative_to(public):
        yield from check_includes(file, is_standard, public)
    else:
        yield from check_includes(
            file, lambda name: is_standard(name) or name in POSIX_HEADERS, registry, public
        )


def check_kernels(root: Path, file: Path) -> Iterator[tuple[int, str]]:
    """A family includes the C++ library, polyops/, its own headers and its own SDK."""
    kernels = root / "kernels"
    if not file.is_relative_to(kernels):
        return
    family = file.relative_to(kernels).parts[0]
    allowed = FAMILY_HEADERS.get(family)
    public = root / "registry" / "include"

    def system(name: str) -> bool:
        return allowed is None or is_standard(name) or name in allowed

    own = [file.parent, kernels / family, public]
    for number, text in check_includes(file, system, *own):
        # Tests include "reference/<op>.h", so the references do too.
        reference = family == "reference" and text.startswith('includes "reference/')
        elsewhere = SHARED_HEADERS | PROVIDED_HEADERS.get(family, set())
        shared = any(text.startswith(f'includes "{name}"') for name in elsewhere)
        if not reference and not shared:
            yield number, text


KERNEL = re.compile(r"^(?!\s*//)(?:.*\W)?GPU_KERNEL\(", re.MULTILINE)
AWAIT = "await_earlier();"


def check_awaits(root: Path, file: Path) -> Iterator[tuple[int, str]]:
    """The first thing that a kernel of a GPU does is to wait for those before it (gpu.h)."""
    if not file.is_relative_to(root / "kernels" / "gpu"):
        return
    text = file.read_text(encoding="utf-8")
    for kernel in KERNEL.finditer(text):
        _, _, body = text[kernel.start() :].partition("{")
        if not body.lstrip().startswith(AWAIT):
            number = text.count("\n", 0, kernel.start()) + 1
            yield number, f"a kernel that does not begin with {AWAIT}"


RULES = (check_torch, check_environment, check_registry, check_kernels, check_awaits)


def check(root: Path) -> list[str]:
    breaches = []
    for folder in ("bindings", "kernels", "registry", "tests"):
        files = [f for f in sorted((root / folder).rglob("*")) if f.suffix in SUFFIXES]
        for file in files:
            for rule in RULES:
                for number, text in rule(root, file):
                    breaches.append(f"{file.relative_to(root)}:{number}: {text}")
    return breaches


CLEAN = {
    "bindings/torch/call.cc": '#include <ATen/core/Tensor.h>\n#include "torch/call.h"\n',
    "kernels/cpu/relu/relu.cc": '#include <immintrin.h>\n#include <cmath>\n#include "table.h"\n',
    "kernels/cpu/table.h": '#include "polyops/abi.h"\n',
    "kernels/toy/toy.cc": '#include <toy_sdk/toy.h>\n#include "cpu/chip.h"\n',
    "kernels/onednn/runtime.cc": "#include <omp.h>\n#include <oneapi/dnnl/dnnl.hpp>\n",
    "kernels/gpu/gpu.h": '#include <cstdint>\n#include "platform.h"\n',
    "kernels/gpu/twice.h": 2 * "GPU_KERNEL(64)\nf(int x) {\n  await_earlier();\n  g();\n}\n"
    "// GPU_KERNEL(64) f() { *x = 1; }\nPOLYOPS_GPU_KERNEL(f)\n",
    "kernels/reference/relu.h": "#include <cstdint>\n",
    "kernels/reference/relu.cc": '#include "reference/relu.h"\n',
    "registry/loader.cc": '#include <dlfcn.h>\n#include "select.h"\n#include "polyops/abi.h"\n',
    "registry/select.h": "// The environment is read elsewhere.\n#include <vector>\n",
    "registry/policy.cc": "char** e = environ;\n",
    "registry/include/polyops/abi.h": "#include <stdint.h>\n",
    "tests/registry/policy_test.cc": 'int x = setenv("A", "1", 1); char* y = getenv("A");\n',
    "tests/torch/threads.cc": "#include <torch/extension.h>\n",
}
BREACHES = {
    "registry/a.cc": "#include <torch/library.h>",
    "registry/b.cc": "#include <c10/core/Device.h>",
    "registry/c.cc": "// as on CUDA",
    "registry/d.h": "int hip = 0;",
    "registry/e.cc": '#include "cpu/table.h"',
    "registry/f.cc": '  char* x = std::getenv("POLYOPS_X");',
    "registry/include/polyops/g.h": '#include "select.h"',
    "registry/include/polyops/h.h": "#include <dlfcn.h>",
    "kernels/cpu/i.cc": "#include <ATen/Parallel.h>",
    "kernels/cpu/j.cc": "#include <omp.h>",
    "kernels/cpu/k.cc": '#include "select.h"',
    "kernels/cpu/l.cc": "extern char** environ;",
    "kernels/toy/m.cc": '#include "table.h"',
    "kernels/toy/r.cc": '#include "cpu/table.h"',
    "kernels/onednn/s.cc": "#include <immintrin.h>",
    "kernels/gpu/t.cu": "#include <cuda_runtime.h>",
    "kernels/cpu/u.cc": '#include "platform.h"',
    "kernels/gpu/v.cu": "GPU_KERNEL(64) f(int x) {}",
    "kernels/gpu/w.cu": "template <class T> GPU_KERNEL(64) f(T x) { g(); await_earlier(); }",
    "kernels/reference/n.cc": "#include <immintrin.h>",
    "kernels/reference/o.cc": '#include "cpu/table.h"',
    "bindings/p.cc": '#  include <x>\nchar* x = getenv("X");',
    "tests/kernels/q.cc": "#include <Python.h>",
}


def self_check() -> list[str]:
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)

        def write(name: str, text: str) -> Path:
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            return file

        for name, text in CLEAN.items():
            write(name, text)
        failures += [f"a clean tree is blamed: {breach}" for breach in check(root)]
        for name, text in BREACHES.items():
            file = write(name, f"// a line before\n{text}\n")
            where = f"{name}:{1 + len(text.splitlines())}:"
            found = check(root)
            if not found or not all(breach.startswith(where) for breach in found):
                failures.append(f"{where} {text!r} gave {found}")
            file.unlink()
    return failures


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__)
        return 2
    self = sys.argv[1] == "--self-check"
    problems = self_check() if self else check(Path(sys.argv[1]).resolve())
    print("\n".join(problems) or "no breach")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
