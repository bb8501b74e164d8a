// Pools of images of three dimensions; see polyops/ops/pool3d.h.
#ifndef POLYOPS_REFERENCE_POOL3D_H_
#define POLYOPS_REFERENCE_POOL3D_H_

#include "polyops/ops/pool3d.h"

namespace polyops::reference {

void avg_pool3d(const polyops_avg_pool3d_args& args);
void avg_pool3d_backward(const polyops_avg_pool3d_backward_args& args);
void adaptive_avg_pool3d(const polyops_adaptive_avg_pool3d_args& args);
void adaptive_avg_pool3d_backward(const polyops_adaptive_avg_pool3d_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_POOL3D_H_
