// upsample_bicubic2d and its gradient on GPUs: the kernels of upsample/ with the taps of Cubic.
#include "table.h"
#include "upsample/calls.h"

POLYOPS_GPU_KERNELS(upsample_bicubic2d,
                    POLYOPS_GPU_UPSAMPLE("upsample_bicubic2d", Cubic, UpsampleForward),
                    POLYOPS_GPU_UPSAMPLE("upsample_bicubic2d_backward", Cubic, UpsampleBackward))
