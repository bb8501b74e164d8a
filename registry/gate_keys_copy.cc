// Of copies: what lies next to each other in both tensors.
#include "gate_keys.h"
#include "polyops/ops/copy.h"

namespace polyops {
namespace {

// Dimensions in the order of dst's memory, innermost first, merged where neither tensor has a gap.
struct Merged {
  int rank = 0;
  int64_t sizes[POLYOPS_MAX_RANK + 1] = {1}, src[POLYOPS_MAX_RANK + 1] = {1},
                                   dst[POLYOPS_MAX_RANK + 1] = {1};
};

Merged merge(const polyops_tensor& src, const polyops_tensor& dst) {
  int order[POLYOPS_MAX_RANK], count = 0;
  for (int d = dst.rank - 1; d >= 0; --d) {
    if (dst.sizes[d] == 1) continue;
    int at = count++;
    for (; at > 0 && dst.strides[order[at - 1]] > dst.strides[d]; --at) order[at] = order[at - 1];
    order[at] = d;
  }
  Merged m;
  for (int i = 0; i < count; ++i) {
    const int d = order[i], inner = m.rank - 1;
    if (m.rank > 0 && src.strides[d] == m.src[inner] * m.sizes[inner] &&
        dst.strides[d] == m.dst[inner] * m.sizes[inner]) {
      m.sizes[inner] *= dst.sizes[d];
      continue;
    }
    m.sizes[m.rank] = dst.sizes[d];
    m.src[m.rank] = src.strides[d];
    m.dst[m.rank] = dst.strides[d];
    ++m.rank;
  }
  return m;
}

// Bits are copied: all types of a size are one.
int32_t dtype_of_size(int32_t dtype) {
  switch (polyops_dtype_size(dtype)) {
    case 1:
      return POLYOPS_UINT8;
    case 2:
      return POLYOPS_BFLOAT16;
    case 4:
      return POLYOPS_FLOAT32;
    default:
      return POLYOPS_FLOAT64;
  }
}

}  // namespace

// len: elements that lie next to each other in dst; across: in src, where that is another
// dimension.
GateKey copy_key(const void* p) {
  const auto& a = *static_cast<const polyops_copy_args*>(p);
  const Merged m = merge(a.src, a.dst);
  const int64_t len = m.sizes[0], others = polyops_numel(&a.dst) / len;
  const int32_t dtype = dtype_of_size(a.dst.dtype);
  if (m.src[0] == 1 && m.dst[0] == 1) return {dtype, kRows, {others, 1, len}};
  for (int d = 1; d < m.rank; ++d) {
    if (m.src[d] == 1) return {dtype, kTransposed, {others / m.sizes[d], m.sizes[d], len}};
  }
  return {dtype, kStrided, {others, 1, len}};
}

}  // namespace polyops
