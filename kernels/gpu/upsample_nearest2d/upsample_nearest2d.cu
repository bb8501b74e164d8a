// upsample_nearest2d and its gradient on GPUs: the kernels of upsample/ with the taps of Nearest.
#include "table.h"
#include "upsample/calls.h"

POLYOPS_GPU_KERNELS(upsample_nearest2d,
                    POLYOPS_GPU_UPSAMPLE("upsample_nearest2d", Nearest, UpsampleForward),
                    POLYOPS_GPU_UPSAMPLE("upsample_nearest2d_backward", Nearest, UpsampleBackward))
