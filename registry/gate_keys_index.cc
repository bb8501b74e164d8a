// Of ops that move or add up what indices name.
#include "gate_keys.h"
#include "polyops/ops/embedding.h"
#include "polyops/ops/gather.h"
#include "polyops/ops/index_add.h"
#include "polyops/ops/index_put.h"
#include "polyops/ops/index_select.h"
#include "polyops/ops/scatter_add.h"

namespace polyops {

GateKey embedding_backward_key(const void* p) {
  const auto& a = *static_cast<const polyops_embedding_backward_args*>(p);
  return {a.grad_dst.dtype,
          kContiguous,
          {a.grad_dst.sizes[0], a.grad_weight.sizes[0], a.grad_weight.sizes[1]}};
}

// rows: those that are copied, of each of `outer`; len: elements of a row.
GateKey index_select_key(const void* p) {
  const auto& a = *static_cast<const polyops_index_select_args*>(p);
  return {a.src.dtype,
          polyops_is_contiguous(&a.src) ? kContiguous : kStrided,
          {extent(a.dst, 0, a.dim), a.index.sizes[0], extent(a.dst, a.dim + 1, a.dst.rank)}};
}

namespace {

// Whether the index is the same for all that lies behind dim.
bool repeats(const polyops_tensor& index, int dim) {
  bool same = true;
  for (int d = dim + 1; d < index.rank; ++d) {
    same = same && (index.sizes[d] == 1 || index.strides[d] == 0);
  }
  return same;
}

}  // namespace

// As index_select where the index repeats itself behind dim; `inner`: it names each element.
GateKey gather_key(const void* p) {
  const auto& a = *static_cast<const polyops_gather_args*>(p);
  const char* const layout = repeats(a.index, a.dim) ? kContiguous : kInner;
  return {a.src.dtype,
          polyops_is_contiguous(&a.src) ? layout : kStrided,
          {extent(a.dst, 0, a.dim), a.index.sizes[a.dim], extent(a.dst, a.dim + 1, a.dst.rank)}};
}

// inner: beside each of a run's rows lie those of other runs. A new tensor has all rows written.
GateKey index_add_key(const void* p) {
  const auto& a = *static_cast<const polyops_index_add_args*>(p);
  const int64_t outer = extent(a.dst, 0, a.dim);
  const char* const layout = outer == 1 ? kRows : kInner;
  return {a.dst.dtype,
          a.in_place != 0 ? layout : kContiguous,
          {a.index.sizes[0], a.dst.sizes[a.dim], outer * extent(a.dst, a.dim + 1, a.dst.rank)}};
}

GateKey index_put_key(const void* p) {
  const auto& a = *static_cast<const polyops_index_put_args*>(p);
  return {a.self.dtype,
          kRows,
          {a.src.sizes[0], extent(a.self, 0, a.indices), extent(a.self, a.indices, a.self.rank)}};
}

// As index_add where the index repeats itself behind dim; `inner`: it names each element.
GateKey scatter_add_key(const void* p) {
  const auto& a = *static_cast<const polyops_scatter_add_args*>(p);
  const char* const layout = a.in_place != 0 ? kRows : kContiguous;
  return {a.dst.dtype,
          repeats(a.index, a.dim) ? layout : kInner,
          {extent(a.dst, 0, a.dim), a.index.sizes[a.dim], a.dst.sizes[a.dim],
           extent(a.dst, a.dim + 1, a.dst.rank)}};
}

}  // namespace polyops
