// Gradients of a 1 x 1 convolution, as products by gemm's kernel: grad_src[n] = weight^T @
// grad_dst[n]; grad_weight = the sum over n of grad_dst[n] @ src[n]^T, one product where items
// follow each other (channels last), else one after the other into the same matrix.
#ifndef POLYOPS_CPU_CONVOLUTION_POINTWISE_BACKWARD_H_
#define POLYOPS_CPU_CONVOLUTION_POINTWISE_BACKWARD_H_

#include <cstddef>
#include <cstdint>

#include "convolution/planes_backward.h"
#include "convolution/pointwise.h"

namespace polyops::cpu {
namespace {

// Pixels of all items as one row. False if they are not.
inline bool fold_items(polyops_tensor* t) {
  if (t->sizes[0] > 1) {
    if (t->sizes[2] == 1) t->strides[2] = t->strides[0];
    if (t->strides[0] != t->sizes[2] * t->strides[2]) return false;
  }
  t->sizes[2] *= t->sizes[0];
  t->sizes[0] = 1;
  return true;
}

inline polyops_tensor item_of(polyops_tensor t, int64_t item) {
  t.data = static_cast<char*>(t.data) + item * t.strides[0] * polyops_dtype_size(t.dtype);
  t.sizes[0] = 1;
  return t;
}

struct PointwiseBackward {
  polyops_gemm_args source, weight;  // weight: of the first item, or of all
  polyops_tensor grad_dst, src, grad_weight;
  int64_t items;  // products that grad_weight is the sum of
  bool has_source, has_weight, has_bias;

  // nullptr, or why it is not these products.
  const char* set(const polyops_convolution_backward_args& a) {
    if (!has_dtype(a.grad_dst.dtype) || !one_dtype(a)) return "dtype";
    if (!is_pointwise(backward_shape(a))) return "kernel size";
    if (!flatten_pixels(a.grad_dst, &grad_dst) || !flatten_pixels(a.src, &src)) return "layout";
    has_source = polyops_is_present(&a.grad_src) != 0;
    has_weight = polyops_is_present(&a.grad_weight) != 0;
    has_bias = polyops_is_present(&a.grad_bias) != 0;
    if (has_source) {
      polyops_tensor grad_src;
      if (!flatten_pixels(a.grad_src, &grad_src)) return "layout";
      source = product_of(transposed(matrix_of(a.weight, src.sizes[0])), grad_dst, grad_src);
      if (gemm_kernel(source) == nullptr) return "dtype";
    }
    if (!has_weight) return nullptr;
    grad_weight = matrix_of(a.grad_weight, 1);
    polyops_tensor all_src = src, all_grad = grad_dst;
    items = 1;
    if (fold_items(&all_src) && fold_items(&all_grad)) {
      src = all_src;
      grad_dst = all_grad;
    } else {
      items = src.sizes[0];
      // Each sum would be rounded.
      if (is_half(a.grad_dst.dtype)) return "batch of planes of 16 bits";
    }
    weight = of_item(0);
    return gemm_kernel(weight) == nullptr ? "dtype" : nullptr;
  }

  polyops_gemm_args of_item(int64_t item) const {
    polyops_gemm_args args =
        product_of(item_of(grad_dst, item), transposed(item_of(src, item)), grad_weight);
    if (item > 0) {
      args.beta = 1;
      args.addend = args.dst;
    }
    return args;
  }
};

inline const char* pointwise_backward_supports(const void* data) {
  PointwiseBackward job;
  return job.set(*static_cast<const polyops_convolution_backward_args*>(data));
}

inline size_t pointwise_backward_scratch(const void* data, int32_t threads) {
  PointwiseBackward job;
  job.set(*static_cast<const polyops_convolution_backward_args*>(data));
  size_t bytes = job.has_source ? gemm_scratch(job.source, threads) : 0;
  for (int64_t item = 0; job.has_weight && item < job.items && item < 2; ++item) {
    const size_t needed = gemm_scratch(job.of_item(item), threads);
    if (needed > bytes) bytes = needed;
  }
  return bytes;
}

inline int pointwise_backward_launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_convolution_backward_args*>(data);
  PointwiseBackward job;
  job.set(args);
  int status = POLYOPS_OK;
  if (job.has_source) status = gemm_kernel(job.source)->launch(&job.source, ctx);
  for (int64_t item = 0; job.has_weight && item < job.items && status == POLYOPS_OK; ++item) {
    const polyops_gemm_args product = job.of_item(item);
    status = gemm_kernel(product)->launch(&product, ctx);
  }
  if (job.has_bias && status == POLYOPS_OK) {
    with_types(args.grad_dst.dtype, [&]<class V, class E>() { add_up_bias<V, E>(ctx, args); });
  }
  return status;
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_POINTWISE_BACKWARD_H_
