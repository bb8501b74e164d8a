"""Stock's kernels of a GPU that its CPU lacks, for the harness of tests/simt loaded as a plug-in.

torch's own decompositions, registered at the CPU's key before polyops wraps what is there. Imported
for that by conftest.py.
"""

import os
from typing import Any

import torch
from torch._decomp import decompositions

# Their results are contiguous, as a GPU's are.


def rms_norm(x: torch.Tensor, *rest: Any) -> Any:
    return decompositions._fused_rms_norm(x.contiguous(), *rest)


def rms_norm_backward(grad: torch.Tensor, x: torch.Tensor, *rest: Any) -> Any:
    return decompositions._fused_rms_norm_backward(grad.contiguous(), x.contiguous(), *rest)


def log_sigmoid(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """With the empty buffer of devices, which the backward does not read."""
    y = decompositions.log_sigmoid_forward(x)[0]
    return torch.empty_like(x).copy_(y), x.new_empty(0)


def log_sigmoid_out(x: torch.Tensor, *, output: torch.Tensor, buffer: torch.Tensor) -> Any:
    y = log_sigmoid(x)[0]
    output.resize_(y.shape).copy_(y)
    return output, buffer


def log_sigmoid_backward(grad: torch.Tensor, x: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    buffer = (-x.abs()).exp()  # what a CPU's forward leaves there
    return torch.empty_like(grad).copy_(decompositions.log_sigmoid_backward(grad, x, buffer))


def log_sigmoid_backward_out(*args: Any, grad_input: torch.Tensor) -> torch.Tensor:
    y = log_sigmoid_backward(*args)
    return grad_input.resize_(y.shape).copy_(y)


LIBRARY = torch.library.Library("aten", "IMPL")  # as long as the process
if "libpolyops_simt_torch" in os.environ.get("POLYOPS_PLUGIN_PATH", ""):
    LIBRARY.impl("_fused_rms_norm", rms_norm, "CPU")
    LIBRARY.impl("_fused_rms_norm_backward", rms_norm_backward, "CPU")
    LIBRARY.impl("log_sigmoid_forward", log_sigmoid, "CPU")
    LIBRARY.impl("log_sigmoid_forward.output", log_sigmoid_out, "CPU")
    LIBRARY.impl("log_sigmoid_backward", log_sigmoid_backward, "CPU")
    LIBRARY.impl("log_sigmoid_backward.grad_input", log_sigmoid_backward_out, "CPU")
