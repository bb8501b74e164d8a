// Of softmax, sums along a dimension and norms.
#include "gate_keys.h"
#include "polyops/ops/batch_norm.h"
#include "polyops/ops/cumsum.h"
#include "polyops/ops/group_norm.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/rms_norm.h"
#include "polyops/ops/softmax.h"

namespace polyops {
namespace {

GateKey softmax_key(const polyops_tensor& t, int dim) {
  const bool contiguous = polyops_is_contiguous(&t);
  const int64_t inner = extent(t, dim + 1, t.rank);
  return {t.dtype,
          !contiguous  ? kStrided
          : inner == 1 ? kContiguous
                       : kInner,
          {extent(t, 0, dim), t.sizes[dim], inner}};
}

GateKey layer_norm_key(const polyops_tensor& t, int normalized_rank) {
  const int first = t.rank - normalized_rank;
  return {t.dtype,
          polyops_is_contiguous(&t) ? kContiguous : kStrided,
          {extent(t, 0, first), extent(t, first, t.rank)}};
}

// Whether the dimensions from `first` on are one run of memory, wherever the next one is.
bool are_run(const polyops_tensor& t, int first) {
  int64_t expected = 1;
  for (int d = t.rank - 1; d >= first; --d) {
    if (t.sizes[d] != 1 && t.strides[d] != expected) return false;
    expected *= t.sizes[d];
  }
  return true;
}

// Strided calls in three: rows that lie apart, each in one run, which lastdim and contiguous
// kernels take; rows whose neighbours, along `dim`, are further from each other than a sector of
// memory, of which a kernel reads one for each element; and the others. What a kernel does of one
// kind says nothing of another, nor is one that cannot run it a rival there.
GateKey of_rows(GateKey key, const polyops_tensor& t, int first, int dim) {
  constexpr int64_t kSector = 32;
  if (key.layout != kStrided) return key;
  if (extent(t, dim + 1, t.rank) == 1 && are_run(t, first)) {
    key.layout = kRows;
  } else if (t.strides[dim] * polyops_dtype_size(t.dtype) > kSector) {
    key.layout = kTransposed;
  }
  return key;
}

GateKey norm_key(const polyops_tensor& t, int normalized_rank) {
  return of_rows(layer_norm_key(t, normalized_rank), t, t.rank - normalized_rank, t.rank - 1);
}

GateKey group_norm_key(const polyops_tensor& t, int groups) {
  return {t.dtype, kContiguous, {t.sizes[0] * groups, t.sizes[1] / groups, t.sizes[2]}};
}

// Where a tensor is both, it is channels_last.
GateKey batch_norm_key(const polyops_tensor& t) {
  const bool last =
      (t.sizes[1] == 1 || t.strides[1] == 1) && (t.sizes[2] == 1 || t.strides[2] == t.sizes[1]);
  return {t.dtype, last ? kChannelsLast : kContiguous, {t.sizes[0], t.sizes[1], t.sizes[2]}};
}

}  // namespace

GateKey softmax_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_softmax_args*>(p);
  return of_rows(softmax_key(a.src, a.dim), a.src, a.dim, a.dim);
}

GateKey softmax_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_softmax_backward_args*>(p);
  return softmax_key(a.grad_dst, a.dim);
}

GateKey layer_norm_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_args*>(p);
  return norm_key(a.src, a.normalized_rank);
}

GateKey layer_norm_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_layer_norm_backward_args*>(p);
  return layer_norm_key(a.src, a.normalized_rank);
}

GateKey rms_norm_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_rms_norm_args*>(p);
  return norm_key(a.src, a.normalized_rank);
}

GateKey rms_norm_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_rms_norm_backward_args*>(p);
  return layer_norm_key(a.src, a.normalized_rank);
}

GateKey group_norm_forward_key(const void* p) {
  const auto& a = *static_cast<const polyops_group_norm_args*>(p);
  return group_norm_key(a.src, a.groups);
}

GateKey group_norm_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_group_norm_backward_args*>(p);
  return group_norm_key(a.src, a.groups);
}

GateKey batch_norm_forward_key(const void* p) {
  return batch_norm_key(static_cast<const polyops_batch_norm_args*>(p)->src);
}

GateKey batch_norm_backward_key(const void* p) {
  return batch_norm_key(static_cast<const polyops_batch_norm_backward_args*>(p)->src);
}

GateKey cumsum_key(const void* p) {
  const auto& a = *static_cast<const polyops_cumsum_args*>(p);
  return softmax_key(a.src, a.dim);
}

}  // namespace polyops
