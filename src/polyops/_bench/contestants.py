"""What else computes a row on a device: torch.compile of stock's call, FlagGems, Liger.

A library that is not installed has no call of a row; neither has one that cannot do it.
"""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import torch

from polyops._bench.measure import patched
from polyops._bench.rotation import Rotation
from polyops._bench.shapes import Spec
from polyops._bench.target import Calls

Function = Callable[..., Any]


def others(spec: Spec, rotation: Rotation, *, compiled: bool) -> Calls:
    """Calls on the row's tensors that ran once, by name."""
    functions: dict[str, Function | None] = {
        "compile": _compiled(rotation) if compiled else None,
        "flag_gems": _flag_gems().get(spec.overload),
        "liger": _liger(spec),
    }
    calls: Calls = {}
    for name, function in functions.items():
        if function is not None:
            try:
                call = rotation.through(function)
                with patched(False):
                    call()
            except Exception:  # whatever it is that this library cannot do
                continue
            calls[name] = call
    return calls


def _compiled(rotation: Rotation) -> Function | None:
    function = getattr(rotation.calls[0], "func", None)
    if function is None:
        return None
    torch.compiler.reset()  # of the rows before, or torch gives up after a few
    return torch.compile(lambda *args, **options: function(*args, **options), dynamic=False)


@cache
def _flag_gems() -> dict[str, Function]:
    """Its functions, of the arguments of aten's, by overload."""
    try:
        config = import_module("flag_gems")._FULL_CONFIG
    except Exception:  # not installed, or not for this machine
        return {}
    return {overload: function for overload, function, *_ in config}


@cache
def _of_liger(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"liger_kernel.ops.{module}"), name)
    except Exception:  # not installed, or not for this machine
        return None


def _liger(spec: Spec) -> Function | None:
    """Over the last dimension, forward."""
    if spec.overload == "_softmax" and int(spec.option("dim", "-1")) in (-1, len(spec.sizes) - 1):
        softmax = _of_liger("softmax", "LigerSoftmaxFunction")
        return softmax and (lambda x, *_: softmax.apply(x))
    if spec.overload == "native_layer_norm" and spec.option("over", "1") == "1":
        norm = _of_liger("layer_norm", "LigerLayerNormFunction")
        return norm and (lambda x, _, weight, bias, eps: norm.apply(x, weight, bias, eps))
    return None
