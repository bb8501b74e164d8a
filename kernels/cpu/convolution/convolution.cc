// convolution by three roads: depthwise.h (a filter sees one channel), planes.h (channels are planes
// of pixels), pixels.h (channels lie next to each other).
#include "polyops/ops/convolution.h"

#include "convolution/depthwise.h"
#include "convolution/depthwise_backward.h"
#include "convolution/pixels.h"
#include "convolution/planes.h"
#include "convolution/planes_backward.h"
#include "convolution/pointwise.h"
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
                    POLYOPS_KERNEL("convolution_backward", "convolution_backward_planes",
                                   planes_backward_supports, planes_backward_scratch,
                                   planes_backward_launch))
