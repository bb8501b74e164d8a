// layer_norm and layer_norm_backward on GPUs.
#include "calls.h"
#include "table.h"

POLYOPS_GPU_KERNELS(layer_norm, POLYOPS_GPU_NORM("layer_norm", LayerNorm))
