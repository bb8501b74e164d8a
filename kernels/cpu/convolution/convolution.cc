// convolution: depthwise.h (a filter sees one channel), pointwise.h (1 x 1, by gemm), pixel_tiles.h
// (bfloat16 on AMX, of 32, 64, ... channels), tiles.h (that too, of any), pixels.h (channels lie
// next to each other), planes.h (anything else); and their gradients. Bound: 2 products per weight
// and pixel; depthwise, and with few pixels, the bytes. Emerald Rapids, 16 threads, us, stock's in
// brackets (benchmarks/results): depthwise 3 x 3 of 144x56x56 22 (155), 7 x 7 of 96x56x56 43 (156),
// the gradients of 8x384x14x14 291 (2669); 3 x 3 with stride 2 from 64x56x56 to 128 filters 159
// (277); 1 x 1 from 64x56x56 to 256 100 (298).
#include "polyops/ops/convolution.h"

#include "convolution/depthwise.h"
#include "convolution/depthwise_backward.h"
#include "convolution/pixel_tiles.h"
#include "convolution/pixels.h"
#include "convolution/planes.h"
#include "convolution/planes_backward.h"
#include "convolution/pointwise.h"
#include "convolution/pointwise_backward.h"
#include "convolution/tiles.h"
#include "table.h"

POLYOPS_CPU_KERNELS(convolution,
                    POLYOPS_KERNEL("convolution", "convolution_depthwise", depthwise_supports,
                                   depthwise_scratch, depthwise_launch),
                    POLYOPS_KERNEL("convolution", "convolution_pointwise", pointwise_supports,
                                   pointwise_scratch, pointwise_launch),
                    POLYOPS_PIXEL_TILES_KERNELS POLYOPS_KERNEL("convolution", "convolution_tiles",
                                                               tiles_supports, tiles_scratch,
                                                               tiles_launch),
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
