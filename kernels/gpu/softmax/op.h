// What is computed of a row.
#ifndef POLYOPS_GPU_SOFTMAX_OP_H_
#define POLYOPS_GPU_SOFTMAX_OP_H_

#include "gpu.h"
#include "max_sum.h"

namespace polyops::gpu {
namespace {

// Normalize<U>: results of type U from a row's largest element and its sum. gradient<U>() likewise,
// from what add_term() gathered of the row.
struct Softmax {
  template <class U>
  using Normalize = NormalizeRow<U>;

  GPU_DEVICE static float add_term(float sum, float g, float y) { return fmaf(g, y, sum); }
  template <class U>
  GPU_DEVICE static float gradient(float g, float y, float sum) {
    return y * (g - sum);
  }
};

struct LogSoftmax {
  template <class U>
  using Normalize = LogNormalizeRow;

  GPU_DEVICE static float add_term(float sum, float g, float) { return sum + g; }
  template <class U>
  GPU_DEVICE static float gradient(float g, float y, float sum) {
    const float exp_y = sizeof(U) == 4 ? exp_fast(y) : exp2_flush(y * kLog2e);
    return fmaf(-exp_y, sum, g);
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_OP_H_
