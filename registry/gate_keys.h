// What a gate looks at in a call of each op: layouts by name, and a function per argument struct.
#ifndef POLYOPS_REGISTRY_GATE_KEYS_H_
#define POLYOPS_REGISTRY_GATE_KEYS_H_

#include <cstdint>

#include "op_list.h"
#include "polyops/tensor_view.h"

namespace polyops {

inline constexpr const char kContiguous[] = "contiguous", kStrided[] = "strided";
inline constexpr const char kInner[] = "inner", kChannelsLast[] = "channels_last";
inline constexpr const char kPlain[] = "plain", kCausal[] = "causal", kMask[] = "mask";
inline constexpr const char kDense[] = "dense", kDenseLast[] = "dense_last";
inline constexpr const char kPointwise[] = "pointwise", kPointwiseLast[] = "pointwise_last";
inline constexpr const char kDepthwise[] = "depthwise", kDepthwiseLast[] = "depthwise_last";
inline constexpr const char kGrouped[] = "grouped", kGroupedLast[] = "grouped_last";
inline constexpr const char kNn[] = "nn", kNt[] = "nt", kTn[] = "tn", kTt[] = "tt";
inline constexpr const char kRows[] = "rows", kTransposed[] = "transposed";

// Elements of the dimensions [begin, end).
inline int64_t extent(const polyops_tensor& t, int begin, int end) {
  int64_t n = 1;
  for (int d = begin; d < end; ++d) n *= t.sizes[d];
  return n;
}

GateKey activation_backward_key(const void* args);
GateKey activation_key(const void* args);
GateKey adaptive_avg_pool2d_backward_key(const void* args);
GateKey adaptive_avg_pool2d_key(const void* args);
GateKey adaptive_avg_pool3d_backward_key(const void* args);
GateKey adaptive_avg_pool3d_key(const void* args);
GateKey adaptive_max_pool_backward_key(const void* args);
GateKey adaptive_max_pool_key(const void* args);
GateKey attention_backward_key(const void* args);
GateKey attention_forward_key(const void* args);
GateKey avg_pool2d_backward_key(const void* args);
GateKey avg_pool2d_key(const void* args);
GateKey avg_pool3d_backward_key(const void* args);
GateKey avg_pool3d_key(const void* args);
GateKey batch_norm_backward_key(const void* args);
GateKey batch_norm_forward_key(const void* args);
GateKey cat_key(const void* args);
GateKey convolution_backward_key(const void* args);
GateKey convolution_forward_key(const void* args);
GateKey convolution_pack_key(const void* args);
GateKey convolution_prepacked_key(const void* args);
GateKey cumsum_key(const void* args);
GateKey embedding_backward_key(const void* args);
GateKey copy_key(const void* args);
GateKey cross_entropy_backward_key(const void* args);
GateKey cross_entropy_key(const void* args);
GateKey gather_key(const void* args);
GateKey gelu_backward_key(const void* args);
GateKey gelu_key(const void* args);
GateKey gemm_key(const void* args);
GateKey gemm_pack_key(const void* args);
GateKey gemm_prepacked_key(const void* args);
GateKey glu_backward_key(const void* args);
GateKey glu_key(const void* args);
GateKey group_norm_backward_key(const void* args);
GateKey group_norm_forward_key(const void* args);
GateKey index_add_key(const void* args);
GateKey index_put_key(const void* args);
GateKey index_select_key(const void* args);
GateKey layer_norm_backward_key(const void* args);
GateKey layer_norm_forward_key(const void* args);
GateKey max_pool2d_backward_key(const void* args);
GateKey max_pool2d_key(const void* args);
GateKey max_pool3d_backward_key(const void* args);
GateKey max_pool3d_key(const void* args);
GateKey nll_loss_backward_key(const void* args);
GateKey nll_loss_key(const void* args);
GateKey reduction_key(const void* args);
GateKey extreme_key(const void* args);
GateKey relu_backward_key(const void* args);
GateKey relu_key(const void* args);
GateKey rms_norm_backward_key(const void* args);
GateKey rms_norm_forward_key(const void* args);
GateKey scatter_add_key(const void* args);
GateKey softmax_backward_key(const void* args);
GateKey softmax_forward_key(const void* args);
GateKey upsample_backward_key(const void* args);
GateKey upsample_forward_key(const void* args);
GateKey var_key(const void* args);
GateKey vector_norm_key(const void* args);

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_GATE_KEYS_H_
