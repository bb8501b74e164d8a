// log_softmax and log_softmax_backward on GPUs: softmax's kernels with other arithmetic (op.h).
#include "softmax/calls.h"
#include "table.h"

POLYOPS_GPU_KERNELS(log_softmax, POLYOPS_GPU_SOFTMAX("log_softmax", LogSoftmax))
