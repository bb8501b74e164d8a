"""Stock's kernels of a GPU that its CPU lacks, for the harness of tests/simt loaded as a plug-in.

torch's own decompositions, registered at the CPU's key before polyops wraps what is there. Imported
for that by conftest.py.
"""

import os
from typing import Any

import torch
from torch._decomp import decompositions


def rms_norm(x: torch.Tensor, *rest: Any) -> Any:
    """Its results are contiguous, as a GPU's are."""
    return decompositions._fused_rms_norm(x.contiguous(), *rest)


LIBRARY = torch.library.Library("aten", "IMPL")  # as long as the process
if "libpolyops_simt_torch" in os.environ.get("POLYOPS_PLUGIN_PATH", ""):
    LIBRARY.impl("_fused_rms_norm", rms_norm, "CPU")
    LIBRARY.impl("_fused_rms_norm_backward", decompositions._fused_rms_norm_backward, "CPU")
