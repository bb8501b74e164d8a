// Of ops over rows and over elements.
#include <cmath>

#include "gate_keys.h"
#include "polyops/ops/activation.h"
#include "polyops/ops/cat.h"
#include "polyops/ops/cross_entropy.h"
#include "polyops/ops/extreme.h"
#include "polyops/ops/gelu.h"
#include "polyops/ops/glu.h"
#include "polyops/ops/linalg_vector_norm.h"
#include "polyops/ops/nll_loss.h"
#include "polyops/ops/reduction.h"
#include "polyops/ops/relu.h"
#include "polyops/ops/var.h"

namespace polyops {
namespace {

// Dense in some order of the dimensions, without gaps or overlap.
bool is_dense(const polyops_tensor& t) {
  int64_t extent = 1;
  for (int d = 0; d < t.rank; ++d) {
    if (t.sizes[d] > 1 && t.strides[d] == 0) return false;
    extent += (t.sizes[d] - 1) * t.strides[d];
  }
  return extent == polyops_numel(&t);
}

GateKey unary_key(const polyops_tensor& src) {
  return {src.dtype, is_dense(src) ? kContiguous : kStrided, {polyops_numel(&src)}};
}

GateKey binary_key(const polyops_tensor& a, const polyops_tensor& b) {
  bool same = is_dense(a);
  for (int d = 0; d < a.rank; ++d) same &= a.sizes[d] == 1 || a.strides[d] == b.strides[d];
  return {a.dtype, same ? kContiguous : kStrided, {polyops_numel(&a)}};
}

// Samples by classes; of pixels "inner" where those are next to each other.
GateKey labelled_key(const polyops_tensor& t) {
  if (t.rank == 3) {
    const bool inner = t.sizes[2] == 1 || t.strides[2] == 1;
    return {t.dtype, inner ? kInner : kStrided, {t.sizes[0] * t.sizes[2], t.sizes[1]}};
  }
  return {t.dtype, polyops_is_contiguous(&t) ? kContiguous : kStrided, {t.sizes[0], t.sizes[1]}};
}

// Dense, its dimensions in dst's order.
bool lies_as(const polyops_tensor& t, const polyops_tensor& dst) {
  if (!is_dense(t)) return false;
  for (int d = 0; d < t.rank; ++d) {
    for (int e = 0; e < t.rank; ++e) {
      if (t.sizes[d] == 1 || t.sizes[e] == 1) continue;
      if (dst.strides[d] < dst.strides[e] && t.strides[d] > t.strides[e]) return false;
    }
  }
  return true;
}

// Of the whole tensor, so many rows and so long, in each of which both halves are.
GateKey halves_key(const polyops_tensor& t, int dim) {
  int64_t rows = 1;
  for (int d = 0; d < t.rank; ++d) {
    if (t.sizes[d] != 1 && t.strides[d] > t.strides[dim]) rows *= t.sizes[d];
  }
  return {t.dtype, is_dense(t) ? kContiguous : kStrided, {rows, polyops_numel(&t) / rows}};
}

// By what is next to each other: elements of one result (contiguous), or of `inner` (inner). len:
// elements of a result.
GateKey folded_key(const polyops_tensor& src, uint32_t dims, int64_t results) {
  const int64_t len = polyops_numel(&src) / results;
  int first = -1;  // the dimension of the smallest stride
  for (int d = 0; d < src.rank; ++d) {
    if (src.sizes[d] == 1) continue;
    if (first < 0 || src.strides[d] <= src.strides[first]) first = d;
  }
  if (first >= 0 && src.strides[first] != 1) return {src.dtype, kStrided, {results, len, 1}};
  if (first < 0 || (dims >> first & 1) != 0) return {src.dtype, kContiguous, {results, len, 1}};
  int64_t inner = 1;  // kept dimensions that follow each other in memory
  for (bool more = true; more;) {
    more = false;
    for (int d = 0; d < src.rank; ++d) {
      if (src.sizes[d] == 1 || (dims >> d & 1) != 0 || src.strides[d] != inner) continue;
      inner *= src.sizes[d];
      more = true;
      break;
    }
  }
  return {src.dtype, kInner, {results / inner, len, inner}};
}

}  // namespace

GateKey gelu_key(const void* p) { return unary_key(static_cast<const polyops_gelu_args*>(p)->src); }
GateKey relu_key(const void* p) { return unary_key(static_cast<const polyops_relu_args*>(p)->src); }

GateKey gelu_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_gelu_backward_args*>(p);
  return binary_key(a.grad_dst, a.src);
}

GateKey relu_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_relu_backward_args*>(p);
  return binary_key(a.grad_dst, a.src);
}

GateKey activation_key(const void* p) {
  return unary_key(static_cast<const polyops_activation_args*>(p)->src);
}

GateKey activation_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_activation_backward_args*>(p);
  return binary_key(a.grad_dst, a.src);
}

GateKey glu_key(const void* p) {
  const auto& a = *static_cast<const polyops_glu_args*>(p);
  return halves_key(a.src, a.dim);
}

GateKey glu_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_glu_backward_args*>(p);
  return halves_key(a.src, a.dim);
}

// outer: how many rows dst has, in each of which every src has its part.
GateKey cat_key(const void* p) {
  const auto& a = *static_cast<const polyops_cat_args*>(p);
  const polyops_tensor& dst = a.dst;
  bool contiguous = is_dense(dst);
  for (int64_t i = 0; contiguous && i < a.count; ++i) contiguous = lies_as(a.srcs[i], dst);
  int64_t outer = 1;
  for (int d = 0; d < dst.rank; ++d) {
    if (dst.sizes[d] != 1 && dst.strides[d] > dst.strides[a.dim]) outer *= dst.sizes[d];
  }
  return {dst.dtype,
          contiguous ? kContiguous : kStrided,
          {a.count, outer, polyops_numel(&dst) / outer}};
}

GateKey cross_entropy_key(const void* p) {
  return labelled_key(static_cast<const polyops_cross_entropy_args*>(p)->src);
}

GateKey cross_entropy_backward_key(const void* p) {
  return labelled_key(static_cast<const polyops_cross_entropy_backward_args*>(p)->src);
}

GateKey nll_loss_key(const void* p) {
  return labelled_key(static_cast<const polyops_nll_loss_args*>(p)->src);
}

GateKey nll_loss_backward_key(const void* p) {
  return labelled_key(static_cast<const polyops_nll_loss_backward_args*>(p)->grad_src);
}

GateKey reduction_key(const void* p) {
  const auto& a = *static_cast<const polyops_reduction_args*>(p);
  return folded_key(a.src, a.dims, polyops_numel(&a.dst));
}

GateKey var_key(const void* p) {
  const auto& a = *static_cast<const polyops_var_args*>(p);
  return folded_key(a.src, a.dims, polyops_numel(&a.dst));
}

GateKey vector_norm_key(const void* p) {
  const auto& a = *static_cast<const polyops_vector_norm_args*>(p);
  GateKey key = folded_key(a.src, a.dims, polyops_numel(&a.dst));
  key.sizes[3] = a.order == 1 ? 1 : a.order == 2 ? 2 : std::isinf(a.order) ? 3 : 4;
  return key;
}

GateKey extreme_key(const void* p) {
  const auto& a = *static_cast<const polyops_extreme_args*>(p);
  const polyops_reduction_args reduction = {sizeof reduction, a.src.rank == 0 ? 0 : 1u << a.dim,
                                            a.src, a.indices};
  return reduction_key(&reduction);
}

}  // namespace polyops
