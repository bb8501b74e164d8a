"""What else computes a row on a device: torch.compile of stock's call, FlagGems, Liger.

A library that is not installed has no call of a row; neither has one that cannot do it.
"""

from collections.abc import Callable, Container
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from polyops._bench.measure import patched
from polyops._bench.rotation import Rotation
from polyops._bench.shapes import Spec
from polyops._bench.target import Calls

Function = Callable[..., Any]

NAMES = ("compile", "liger", "flag_gems")


def names(compiled: bool) -> list[str]:
    """Of what is installed; `compiled`: torch.compile, too."""
    modules = {"compile": "torch", "liger": "liger_kernel", "flag_gems": "flag_gems"}
    wanted = NAMES if compiled else NAMES[1:]
    return [name for name in wanted if find_spec(modules[name]) is not None]


def others(spec: Spec, rotation: Rotation, names: Container[str] = NAMES) -> Calls:
    """Calls on the row's tensors that ran once; none but those of these names."""
    functions: dict[str, Function | None] = {
        "compile": _compiled(rotation) if "compile" in names else None,
        "liger": _liger(spec) if "liger" in names else None,
        "flag_gems": _flag_gems().get(spec.overload) if "flag_gems" in names else None,
    }
    calls: Calls = {}
    for name, function in functions.items():
        if function is not None:
            try:
                call = rotation.through(function)
                with patched(False):
                    call()
                torch.get_device_module(spec.device).synchronize()
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
    found = {overload: function for overload, function, *_ in config}
    for overload, (name, adapt) in _ADAPTED.items():
        if name in found:
            found[overload] = adapt(found[name])
    return found


def _of_max_pool(function: Function) -> Function:
    return lambda grad, x, *window: function(grad, x, window[-1], *window[:-1])


def _of_convolution(function: Function) -> Function:
    """Of images, not transposed."""

    def call(x: Any, weight: Any, bias: Any, *window: Any) -> Any:
        stride, padding, dilation, transposed, _, groups = window
        if transposed or x.dim() != 4:
            raise NotImplementedError
        return function(x, weight, bias, stride, padding, dilation, groups)

    return call


# Overloads that FlagGems has by another name, and how that function takes aten's arguments.
_ADAPTED: dict[str, tuple[str, Callable[[Function], Function]]] = {
    "_fused_rms_norm": ("rms_norm", lambda function: function),
    "convolution": ("conv2d", _of_convolution),
    "max_pool2d_with_indices_backward": ("max_pool2d_backward", _of_max_pool),
}


@cache
def _of_liger(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"liger_kernel.ops.{module}"), name)
    except Exception:  # not installed, or not for this machine
        return None


def _liger(spec: Spec) -> Function | None:
    """Over the last dimension, forward."""
    over_last = spec.option("over", "1") == "1"
    if spec.overload == "_softmax" and int(spec.option("dim", "-1")) in (-1, len(spec.sizes) - 1):
        softmax = _of_liger("softmax", "LigerSoftmaxFunction")
        return softmax and (lambda x, *_: softmax.apply(x))
    if spec.overload == "native_layer_norm" and over_last:
        norm = _of_liger("layer_norm", "LigerLayerNormFunction")
        return norm and (lambda x, _, weight, bias, eps: norm.apply(x, weight, bias, eps))
    if spec.overload == "_fused_rms_norm" and over_last:
        norm = _of_liger("rms_norm", "LigerRMSNormFunction")
        return norm and (lambda x, _, weight, eps: norm.apply(x, weight, eps, 0.0, "llama", False))
    if spec.overload == "native_group_norm":
        norm = _of_liger("group_norm", "LigerGroupNormFunction")
        return norm and (
            lambda x, weight, bias, n, channels, size, groups, eps: norm.apply(
                x.view(n, channels, size), weight, bias, channels, groups, eps
            )
        )
    return None
