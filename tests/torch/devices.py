"""Devices other than the CPU that a family serves on this machine, and calls moved to them.

The harness that runs a GPU's kernels on the CPU (tests/simt), loaded as a plug-in, is a "device"
too: its name is the CPU's, and it serves what no other family does there.
"""

from typing import Any

import pytest
import torch
from both import Call, CallParts
from torch.utils._pytree import tree_map

import polyops


def found() -> list[str]:
    """Their torch names; asking makes no context."""
    if on_harness():
        return ["cpu"]
    waiting = {f["device"] for f in polyops._C.families() if f["device"] != "cpu"}
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is None or not torch.accelerator.is_available():
        return []
    return sorted(waiting & {accelerator.type})


def on_harness() -> bool:
    return any(f["name"] == "simt" for f in polyops._C.families())


CUDA = pytest.mark.skipif("cuda" not in found(), reason="no CUDA device that a family serves")


def served_kernel_ops(device: str) -> set[str]:
    """Those with kernels there, but for those of which the CPU has others."""
    families = {True: set[str](), False: set[str]()}
    for kernel in polyops._C.kernels():
        if kernel["device"] == device:
            families[kernel["family"] == "simt"].add(kernel["op"])
    return families[True] - families[False] if device == "cpu" else families[False]


def served_ops(device: str) -> set[str]:
    """The public ops of these."""
    ops = served_kernel_ops(device)
    return {op for k in polyops._C.kernels() if k["op"] in ops for op in k["public_ops"]}


class Mover:
    """Copies tensors: same strides, offsets and whatever memory they have in common."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.storages: dict[int, torch.UntypedStorage] = {}
        self.tensors: dict[int, torch.Tensor] = {}
        self.kept: list[torch.Tensor] = []

    def storage(self, tensor: torch.Tensor) -> torch.UntypedStorage:
        source = tensor.untyped_storage()
        if source._cdata not in self.storages:
            flat = torch.empty(0, dtype=torch.uint8).set_(source)
            self.storages[source._cdata] = flat.to(self.device, copy=True).untyped_storage()
        return self.storages[source._cdata]

    def moved(self, leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or leaf.device.type != "cpu":
            return leaf
        if id(leaf) not in self.tensors:
            plain = leaf.detach()
            empty = torch.empty(0, dtype=leaf.dtype, device=self.device)
            made = empty.set_(
                self.storage(plain), plain.storage_offset(), plain.shape, plain.stride()
            )
            self.kept.append(leaf)  # so that its id is not given to another one
            self.tensors[id(leaf)] = made.requires_grad_(leaf.requires_grad)
        return self.tensors[id(leaf)]


def on_device(call: Call, device: str) -> Call:
    """The same call on the same values there."""

    def made() -> CallParts:
        fn, args, kwargs = call()
        mover = Mover(device)
        with torch.no_grad():
            args, kwargs = tree_map(mover.moved, (args, kwargs))
        return fn, args, kwargs

    return made
