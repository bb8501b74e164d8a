// softmax and softmax_backward on GPUs.
#include "calls.h"
#include "table.h"

POLYOPS_GPU_KERNELS(softmax, POLYOPS_GPU_SOFTMAX("softmax", Softmax))
