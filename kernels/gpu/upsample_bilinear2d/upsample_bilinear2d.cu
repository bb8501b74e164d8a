// upsample_bilinear2d and its gradient on GPUs: the kernels of upsample/ with the taps of Linear.
#include "table.h"
#include "upsample/calls.h"

POLYOPS_GPU_KERNELS(upsample_bilinear2d,
                    POLYOPS_GPU_UPSAMPLE("upsample_bilinear2d", Linear, UpsampleForward),
                    POLYOPS_GPU_UPSAMPLE("upsample_bilinear2d_backward", Linear, UpsampleBackward))
