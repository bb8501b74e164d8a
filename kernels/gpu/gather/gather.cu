// gather: runs of elements where the index repeats itself behind dim, as it does when it is
// expanded; else element by element (../index_select/select.h). Much of short rows goes by way of
// the block's memory (staged.h).
#include "index_select/select.h"
#include "polyops/ops/gather.h"
#include "staged.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// Both as of three dimensions: before dim, dim, and behind it.
struct Merged {
  polyops_tensor src;  // of index's sizes, but for that of dim
  int64_t src_outer, index_outer;
  int64_t index_inner;  // 0: the index repeats itself there
};

// False if they do not merge.
bool merge(const polyops_gather_args& a, Merged* m) {
  *m = {a.src, 0, 0, 0};
  for (int d = 0; d < a.src.rank; ++d) {
    if (d != a.dim) m->src.sizes[d] = a.index.sizes[d];
  }
  int64_t stride = 1;
  if (!merges(m->src, a.dim + 1, a.src.rank, &stride) || stride != 1) return false;
  return merges(m->src, 0, a.dim, &m->src_outer) && merges(a.index, 0, a.dim, &m->index_outer) &&
         merges(a.index, a.dim + 1, a.index.rank, &m->index_inner);
}

const char* gather_supports(const void* data) {
  const auto& a = *static_cast<const polyops_gather_args*>(data);
  const polyops_tensor &src = a.src, &index = a.index, &dst = a.dst;
  if (polyops_dtype_size(src.dtype) == 0 || dst.dtype != src.dtype) return "dtype";
  if (!are_indices(index)) return "dtype";
  if (index.rank != src.rank || dst.rank != src.rank) return "shape";
  for (int d = 0; d < src.rank; ++d) {
    if (dst.sizes[d] != index.sizes[d]) return "shape";
    if (d != a.dim && index.sizes[d] > src.sizes[d]) return "shape";
  }
  if (polyops_numel(&dst) > kMostElements || src.sizes[a.dim] > kMostElements) return "size";
  Merged m;
  return merge(a, &m) && polyops_is_contiguous(&dst) != 0 ? nullptr : "layout";
}

int gather(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_gather_args*>(data);
  Merged m;
  merge(a, &m);
  const int64_t width = polyops_dtype_size(a.src.dtype), count = a.index.sizes[a.dim];
  const int64_t halves = a.index.dtype == POLYOPS_INT32 ? 1 : 2;
  const int64_t outers = numel_between(a.dst, 0, a.dim);
  SelectCall call = {};
  call.src = static_cast<const char*>(a.src.data);
  call.dst = static_cast<char*>(a.dst.data);
  call.index = {a.index.data, a.index.strides[a.dim] * halves,
                static_cast<uint32_t>(a.src.sizes[a.dim]), halves == 1};
  call.outer_step = m.src_outer * width;
  call.step = a.src.strides[a.dim] * width;
  call.of_outer = Division(static_cast<uint32_t>(count));
  call.one_outer = outers == 1;
  call.index_outer = m.index_outer * halves;
  call.index_inner = m.index_inner * halves;
  const int64_t bytes = numel_between(a.dst, a.dim + 1, a.dst.rank) * width;
  return select_runs<true>(call, bytes, outers * count, m.index_inner != 0 ? width : 16, ctx);
}

// Along the last dimension, and so much of each row that it is worth reading as a whole.
const char* staged_supports(const void* data) {
  if (const char* reason = gather_supports(data)) return reason;
  const auto& a = *static_cast<const polyops_gather_args*>(data);
  const int64_t length = a.src.sizes[a.dim], count = a.index.sizes[a.dim];
  if (numel_between(a.dst, a.dim + 1, a.dst.rank) != 1 || a.src.strides[a.dim] != 1) {
    return "layout";
  }
  if (length * polyops_dtype_size(a.src.dtype) > kMostStaged - 32) return "size";
  return count * kStagedShare < length ? "size" : nullptr;
}

template <class Unit>
int launch_staged(const polyops_gather_args& a, const polyops_context* ctx) {
  Merged m;
  merge(a, &m);
  const int64_t length = a.src.sizes[a.dim], halves = a.index.dtype == POLYOPS_INT32 ? 1 : 2;
  StagedCall call = {};
  call.src = a.src.data;
  call.dst = a.dst.data;
  call.index = {a.index.data, a.index.strides[a.dim] * halves, static_cast<uint32_t>(length),
                halves == 1};
  call.src_outer = m.src_outer;
  call.index_outer = m.index_outer * halves;
  call.length = static_cast<int32_t>(length);
  call.count = static_cast<int32_t>(a.index.sizes[a.dim]);
  const size_t shared = (static_cast<size_t>(length) * sizeof(Unit) + 31) / 16 * 16;
  return gpu::launch(gather_staged<Unit>, {numel_between(a.dst, 0, a.dim), kStagedThreads, shared},
                     ctx, call);
}

int gather_by_rows(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_gather_args*>(data);
  switch (polyops_dtype_size(a.src.dtype)) {
    case 8:
      return launch_staged<uint64_t>(a, ctx);
    case 4:
      return launch_staged<uint32_t>(a, ctx);
    case 2:
      return launch_staged<uint16_t>(a, ctx);
    default:
      return launch_staged<uint8_t>(a, ctx);
  }
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(gather,
                    POLYOPS_GPU_KERNEL("gather", "gather_staged", staged_supports, nullptr,
                                       gather_by_rows),
                    POLYOPS_GPU_KERNEL("gather", "gather", gather_supports, nullptr, gather))
