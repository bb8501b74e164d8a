// rms_norm and rms_norm_backward on GPUs: layer_norm's kernels without a mean and a bias (op.h).
#include "layer_norm/calls.h"
#include "table.h"

POLYOPS_GPU_KERNELS(rms_norm, POLYOPS_GPU_NORM("rms_norm", RmsNorm))
