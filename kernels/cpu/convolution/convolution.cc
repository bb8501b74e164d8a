// convolution: depthwise.h (a filter sees one channel), pointwise.h (1 x 1, by gemm), pixels.h
// (channels lie next to each other), planes.h (anything else); and their gradients. Bound: 2 products
// per weight and pixel; depthwise, and with few pixels, the bytes.
// Emerald Rapids, 2 threads, us, stock beside it: depthwise 3 x 3 of 256x56x56 147 (446), gradients
// 446 (1077); 7 x 7 of 96x56x56 164 (318), gradients 492 (9700); 64 x 3 x 3 x 64 on 56x56 776 (1015),
// channels last 680 (621).
#include "polyops/ops/convolution.h"

#include "convolution/depthwise.h"
#include "convolution/depthwise_backward.h"
#include "convolution/pixels.h"
#include "convolution/planes.h"
#include "convolution/planes_backward.h"
#include "convolution/pointwise.h"
#include "convolution/pointwise_backward.h"
#include "table.h"

POLYOPS_CPU_KERNELS(convolution,
                    POLYOPS_KERNEL("convolution", "convolution_depthwise", depthwise_supports,
                                   depthwise_scratch, depthwise_launch),
                    POLYOPS_KERNEL("convolution", "convolution_pointwise", pointwise_supports,
                                   pointwise_scratch, pointwise_launch),
                    POLYOPS_KERNEL("convolution", "convolution_pixels", pixels_supports,
                                   pixels_scratch, pixels_launch),
                    POLYOPS_KERNEL("convolution", "convolution_planes", planes_supports,
                                   planes_scratch, planes_launch),
                    POLYOPS_KERNEL("convolution_backward", "convolution_backward_depthwise",
                                   depthwise_backward_supports, depthwise_backward_scratch,
                                   depthwise_backward_launch),
                    POLYOPS_KERNEL("convolution_backward", "convolution_backward_pointwise",
                                   pointwise_backward_supports, pointwise_backward_scratch,
                                   pointwise_backward_launch),
                    POLYOPS_KERNEL("convolution_backward", "convolution_backward_planes",
                                   planes_backward_supports, planes_backward_scratch,
                                   planes_backward_launch))
