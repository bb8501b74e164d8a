#ifndef POLYOPS_REFERENCE_UPSAMPLE_H_
#define POLYOPS_REFERENCE_UPSAMPLE_H_

#include "polyops/ops/upsample.h"

namespace polyops::reference {

void upsample_nearest2d(const polyops_upsample_args& args);
void upsample_nearest2d_backward(const polyops_upsample_backward_args& args);
void upsample_bilinear2d(const polyops_upsample_args& args);
void upsample_bilinear2d_backward(const polyops_upsample_backward_args& args);
void upsample_bicubic2d(const polyops_upsample_args& args);
void upsample_bicubic2d_backward(const polyops_upsample_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_UPSAMPLE_H_
