// Of products, attention, and ops over images.
#include "gate_keys.h"
#include "polyops/ops/adaptive_max_pool.h"
#include "polyops/ops/attention.h"
#include "polyops/ops/convolution.h"
#include "polyops/ops/gemm.h"
#include "polyops/ops/max_pool3d.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"
#include "polyops/ops/upsample.h"

namespace polyops {
namespace {

// 0: rows are unit-stride; 1: columns are ("transposed"); 2: neither.
int orientation(const polyops_tensor& t) {
  if (t.strides[2] == 1 || t.sizes[2] == 1) return 0;
  return t.strides[1] == 1 || t.sizes[1] == 1 ? 1 : 2;
}

template <class Args>
GateKey attention_key(const void* p) {
  const auto& a = *static_cast<const Args*>(p);
  const char* layout = a.causal != 0 ? kCausal : polyops_is_present(&a.mask) != 0 ? kMask : kPlain;
  const int64_t* q = a.query.sizes;
  return {a.query.dtype, layout, {q[0] * q[1], q[2], a.key.sizes[2], q[3]}};
}

// result: dst, or its gradient.
template <class Args>
GateKey convolution_key(const Args& a, const polyops_tensor& result) {
  const polyops_tensor& weight = a.weight;
  bool pointwise = a.groups == 1;
  for (int d = 2; d < weight.rank; ++d) {
    pointwise &=
        weight.sizes[d] == 1 && a.window.stride[d - 2] == 1 && a.window.padding[d - 2] == 0;
  }
  const bool depthwise = a.groups > 1 && weight.sizes[1] == 1;
  // Channels are what lies next to each other.
  const bool last = result.strides[1] == 1 && result.strides[result.rank - 1] != 1;
  constexpr const char* kNames[4][2] = {{kPointwise, kPointwiseLast},
                                        {kDepthwise, kDepthwiseLast},
                                        {kGrouped, kGroupedLast},
                                        {kDense, kDenseLast}};
  return {result.dtype,
          kNames[pointwise      ? 0
                 : depthwise    ? 1
                 : a.groups > 1 ? 2
                                : 3][last],
          {result.sizes[0], extent(result, 2, result.rank), weight.sizes[0],
           extent(weight, 1, weight.rank)}};
}

// image: what is pooled, or its gradient; results: what comes of it.
GateKey pool_key(const polyops_tensor& image, const polyops_tensor& results, int64_t taps) {
  const bool last = !polyops_is_contiguous(&image) && image.strides[1] == 1;
  return {
      image.dtype,
      polyops_is_contiguous(&image) ? kContiguous
      : last                        ? kChannelsLast
                                    : kStrided,
      {extent(image, 0, 2), extent(image, 2, image.rank), extent(results, 2, results.rank), taps}};
}

int64_t taps_of(const polyops_pool2d_window& w) { return w.size[0] * w.size[1]; }
int64_t taps_of(const polyops_pool3d_window& w) { return w.size[0] * w.size[1] * w.size[2]; }

// Planes, and the pixels of src and of dst.
GateKey upsample_key(const polyops_tensor& first, const polyops_tensor& src,
                     const polyops_tensor& dst) {
  const bool last = first.strides[1] == 1 && first.strides[3] == first.sizes[1] &&
                    first.strides[2] == first.sizes[3] * first.sizes[1];
  const char* layout = polyops_is_contiguous(&first) ? kContiguous
                       : last                        ? kChannelsLast
                                                     : kStrided;
  return {first.dtype, layout, {extent(src, 0, 2), extent(src, 2, 4), extent(dst, 2, 4)}};
}

}  // namespace

GateKey gemm_key(const void* p) {
  const auto& a = *static_cast<const polyops_gemm_args*>(p);
  constexpr const char* kLayouts[3][3] = {
      {kNn, kNt, kStrided}, {kTn, kTt, kStrided}, {kStrided, kStrided, kStrided}};
  return {a.lhs.dtype,
          kLayouts[orientation(a.lhs)][orientation(a.rhs)],
          {a.lhs.sizes[0], a.lhs.sizes[1], a.rhs.sizes[2], a.lhs.sizes[2]}};
}

GateKey gemm_pack_key(const void* p) {
  const polyops_tensor& rhs = static_cast<const polyops_gemm_pack_args*>(p)->rhs;
  constexpr const char* kLayouts[3] = {kNn, kNt, kStrided};
  return {rhs.dtype, kLayouts[orientation(rhs)], {rhs.sizes[1], rhs.sizes[2]}};
}

GateKey gemm_prepacked_key(const void* p) {
  return gemm_key(static_cast<const polyops_gemm_prepacked_args*>(p)->gemm);
}

GateKey convolution_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_convolution_args*>(p);
  return convolution_key(a, a.dst);
}

GateKey convolution_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_convolution_backward_args*>(p);
  return convolution_key(a, a.grad_dst);
}

GateKey convolution_prepacked_key(const void* p) {
  return convolution_forward_key(
      static_cast<const polyops_convolution_prepacked_args*>(p)->convolution);
}

GateKey max_pool2d_key(const void* p) {
  const auto& a = *static_cast<const polyops_max_pool2d_args*>(p);
  return pool_key(a.src, a.dst, taps_of(a.window));
}

GateKey max_pool2d_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_max_pool2d_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, taps_of(a.window));
}

GateKey avg_pool2d_key(const void* p) {
  const auto& a = *static_cast<const polyops_avg_pool2d_args*>(p);
  return pool_key(a.src, a.dst, taps_of(a.window));
}

GateKey avg_pool2d_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_avg_pool2d_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, taps_of(a.window));
}

// Its taps are what the sizes make them.
GateKey adaptive_avg_pool2d_key(const void* p) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool2d_args*>(p);
  return pool_key(a.src, a.dst, 1);
}

GateKey adaptive_avg_pool2d_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool2d_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, 1);
}

GateKey adaptive_max_pool_key(const void* p) {
  const auto& a = *static_cast<const polyops_adaptive_max_pool_args*>(p);
  return pool_key(a.src, a.dst, 1);
}

GateKey adaptive_max_pool_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_adaptive_max_pool_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, 1);
}

GateKey max_pool3d_key(const void* p) {
  const auto& a = *static_cast<const polyops_max_pool3d_args*>(p);
  return pool_key(a.src, a.dst, taps_of(a.window));
}

GateKey max_pool3d_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_max_pool3d_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, taps_of(a.window));
}

GateKey avg_pool3d_key(const void* p) {
  const auto& a = *static_cast<const polyops_avg_pool3d_args*>(p);
  return pool_key(a.src, a.dst, taps_of(a.window));
}

GateKey avg_pool3d_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_avg_pool3d_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, taps_of(a.window));
}

GateKey adaptive_avg_pool3d_key(const void* p) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool3d_args*>(p);
  return pool_key(a.src, a.dst, 1);
}

GateKey adaptive_avg_pool3d_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_adaptive_avg_pool3d_backward_args*>(p);
  return pool_key(a.grad_src, a.grad_dst, 1);
}

GateKey convolution_pack_key(const void* p) {
  const auto& a = *static_cast<const polyops_convolution_pack_args*>(p);
  const polyops_tensor& weight = a.weight;
  return {weight.dtype,
          polyops_is_contiguous(&weight) ? kContiguous : kStrided,
          {weight.sizes[0], extent(weight, 1, weight.rank)}};
}

GateKey upsample_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_upsample_args*>(p);
  return upsample_key(a.src, a.src, a.dst);
}

GateKey upsample_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_upsample_backward_args*>(p);
  return upsample_key(a.grad_dst, a.grad_src, a.grad_dst);
}

GateKey attention_forward_key(const void* p) { return attention_key<polyops_attention_args>(p); }

GateKey attention_backward_key(const void* p) {
  return attention_key<polyops_attention_backward_args>(p);
}

}  // namespace polyops
