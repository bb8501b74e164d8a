"""The compiled module (bindings/module.cc)."""

from collections.abc import Callable, Sequence
from typing import TypedDict

from torch import Tensor

from polyops._api import MemoryStats

TORCH_VERSION: str

class Family(TypedDict):
    name: str
    device: str
    path: str
    loaded: bool
    reason: str | None
    chip: str
    features: str
    isas: list[str]
    gates: str

class Overload(TypedDict):
    name: str
    op: str
    kernel_op: str
    taken: bool
    device: list[str]
    shadowed: bool
    note: str

class Kernel(TypedDict):
    op: str
    public_ops: list[str]
    direction: str
    name: str
    family: str
    device: str
    isa: str
    usable: bool

class OpStats(TypedDict):
    hits: int
    declined: dict[str, int]
    kernels: dict[str, int]

class Policy(TypedDict):
    autopatch: bool
    log: bool
    gate: bool
    isa: str | None
    disabled: list[str]
    enabled: list[str]
    force: dict[str, str]
    plugin_path: list[str]

class LastCall(TypedDict):
    kernel: str
    dtype: str
    layout: str
    sizes: list[int]
    threads: int

def initialize(lib_dir: str) -> None: ...
def families() -> list[Family]: ...
def ops() -> list[str]: ...
def overloads() -> list[Overload]: ...
def kernels() -> list[Kernel]: ...
def stats() -> dict[str, OpStats]: ...
def reset_stats() -> None: ...
def is_enabled(op: str) -> bool: ...
def set_enabled(op: str, on: bool) -> None: ...
def patch() -> None: ...
def unpatch() -> None: ...
def is_patched() -> bool: ...
def set_gate(on: bool) -> None: ...
def gate() -> bool: ...
def force(kernel_op: str, kernel: str | None) -> None: ...
def policy() -> Policy: ...
def add_gate(
    chip: str,
    kernel: str,
    threads: int,
    dtype: str,
    layout: str,
    sizes: list[int],
    ratio: float,
) -> None: ...
def pack_matrix(
    weight: Tensor, gated: bool, max_bytes: int | None = None
) -> tuple[int, str | None]: ...
def pack_convolution(
    weight: Tensor,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
    gated: bool,
    max_bytes: int | None = None,
) -> tuple[int, str | None]: ...
def drop_pack(id: int) -> None: ...
def pack_bytes(id: int) -> int | None: ...
def pack_count() -> int: ...
def set_kept_limit(bytes: int) -> None: ...
def release_kept() -> None: ...
def memory_stats() -> MemoryStats: ...
def recycle_tensor_memory() -> None: ...
def place_tensors(offset: int) -> None: ...
def release_tensor_memory() -> None: ...
def commit_gates() -> None: ...
def trace(fn: Callable[[], object]) -> list[tuple[str, str | None, str | None]]: ...
def sizes_of(kernel_op: str) -> list[str]: ...
def last_call() -> LastCall | None: ...
def load_library(path: str) -> Family: ...
