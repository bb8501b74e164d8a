// 1 x 1, stride 1, no padding: products, handed to gemm's kernel. Planes: dst[n] = weight @ src[n];
// channels next to each other: dst = src @ weight^T, over all pixels at once.
#ifndef POLYOPS_CPU_CONVOLUTION_POINTWISE_H_
#define POLYOPS_CPU_CONVOLUTION_POINTWISE_H_

#include <cstddef>
#include <cstdint>

#include "convolution/shape.h"
#include "polyops/ops/gemm.h"
#include "rows.h"
#include "table.h"

namespace polyops::cpu {

KernelList POLYOPS_CONCAT(gemm, POLYOPS_ISA)();

namespace {

inline bool same_text(const char* a, const char* b) {
  while (*a != 0 && *a == *b) {
    ++a;
    ++b;
  }
  return *a == *b;
}

// The first of gemm.cc's kernels for that op which computes args; nullptr if none does.
inline const polyops_kernel* product_kernel(const char* op, const void* args) {
  const KernelList list = POLYOPS_CONCAT(gemm, POLYOPS_ISA)();
  for (size_t i = 0; i < list.count; ++i) {
    const polyops_kernel& kernel = list.first[i];
    if (same_text(kernel.op, op) && kernel.supports(args) == nullptr) return &kernel;
  }
  return nullptr;
}

inline const polyops_kernel* gemm_kernel(const polyops_gemm_args& args) {
  return product_kernel("gemm", &args);
}

inline size_t gemm_scratch(const polyops_gemm_args& args, int32_t threads) {
  const polyops_kernel* kernel = gemm_kernel(args);
  return kernel->scratch_bytes == nullptr ? 0 : kernel->scratch_bytes(&args, threads);
}

inline bool is_pointwise(const Shape& shape) {
  bool all = shape.groups == 1;
  for (const Side& s : shape.side) all &= s.taps == 1 && s.stride == 1 && s.padding == 0;
  return all;
}

// An image as (batch, channels, pixels). False if its pixels are not one row.
inline bool flatten_pixels(const polyops_tensor& t, polyops_tensor* flat) {
  *flat = t;
  flat->rank = 3;
  flat->sizes[2] = 1;
  flat->strides[2] = 1;
  for (int d = t.rank - 1; d >= 2; --d) {
    if (t.sizes[d] == 1) continue;
    if (flat->sizes[2] == 1) {
      flat->strides[2] = t.strides[d];
    } else if (t.strides[d] != flat->sizes[2] * flat->strides[2]) {
      return false;
    }
    flat->sizes[2] *= t.sizes[d];
  }
  return true;
}

inline polyops_tensor transposed(polyops_tensor t) {
  const int64_t size = t.sizes[1], stride = t.strides[1];
  t.sizes[1] = t.sizes[2];
  t.strides[1] = t.strides[2];
  t.sizes[2] = size;
  t.strides[2] = stride;
  return t;
}

// weight as one matrix (1, filters, channels), repeated over a batch.
inline polyops_tensor matrix_of(const polyops_tensor& weight, int64_t batch) {
  polyops_tensor t = weight;
  t.rank = 3;
  t.sizes[0] = batch;
  t.strides[0] = 0;
  for (int d = 0; d < 2; ++d) {
    t.sizes[d + 1] = weight.sizes[d];
    t.strides[d + 1] = weight.strides[d];
  }
  return t;
}

inline polyops_tensor no_tensor() {
  polyops_tensor t = {};
  t.rank = -1;
  return t;
}

// dst's columns, not its rows, are what lies next to each other.
inline bool is_flipped(const polyops_tensor& dst) {
  return dst.strides[1] == 1 && dst.strides[2] != 1;
}

// dst = lhs @ rhs, or its transposed where that is how dst lies.
inline polyops_gemm_args product_of(const polyops_tensor& lhs, const polyops_tensor& rhs,
                                    const polyops_tensor& dst) {
  polyops_gemm_args args = {};
  args.struct_size = sizeof args;
  args.alpha = 1;
  args.addend = no_tensor();
  const bool flip = is_flipped(dst);
  args.lhs = flip ? transposed(rhs) : lhs;
  args.rhs = flip ? transposed(lhs) : rhs;
  args.dst = flip ? transposed(dst) : dst;
  return args;
}

inline const char* pointwise_product(const polyops_convolution_args& a, polyops_gemm_args* args) {
  if (!has_dtype(a.dst.dtype) || !one_dtype(a)) return "dtype";
  if (!is_pointwise(forward_shape(a))) return "kernel size";
  polyops_tensor src, dst;
  if (!flatten_pixels(a.src, &src) || !flatten_pixels(a.dst, &dst)) return "layout";
  *args = product_of(matrix_of(a.weight, src.sizes[0]), src, dst);
  if (polyops_is_present(&a.bias) != 0) {
    args->beta = 1;
    args->addend = args->dst;
    args->addend.data = a.bias.data;
    const int channel = is_flipped(dst) ? 2 : 1;
    for (int d = 0; d < 3; ++d) args->addend.strides[d] = d == channel ? a.bias.strides[0] : 0;
  }
  return nullptr;
}

inline const char* pointwise_supports(const void* data) {
  polyops_gemm_args args;
  if (const char* r =
          pointwise_product(*static_cast<const polyops_convolution_args*>(data), &args)) {
    return r;
  }
  return gemm_kernel(args) != nullptr ? nullptr : "dtype";
}

inline size_t pointwise_scratch(const void* data, int32_t threads) {
  polyops_gemm_args args;
  pointwise_product(*static_cast<const polyops_convolution_args*>(data), &args);
  return gemm_scratch(args, threads);
}

inline int pointwise_launch(const void* data, const polyops_context* ctx) {
  polyops_gemm_args args;
  pointwise_product(*static_cast<const polyops_convolution_args*>(data), &args);
  return gemm_kernel(args)->launch(&args, ctx);
}

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_CONVOLUTION_POINTWISE_H_
