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


LIBRARY = torch.library.Library("aten", "IMPL")  # as long as the process
if "libpolyops_simt_torch" in os.environ.get("POLYOPS_PLUGIN_PATH", ""):
    LIBRARY.impl("_fused_rms_norm", rms_norm, "CPU")
    LIBRARY.impl("_fused_rms_norm_backward", rms_norm_backward, "CPU")
