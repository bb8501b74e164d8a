// index_select: copies runs of elements, those behind dim, from where an index names them. Bound:
// memory; short runs also by instructions, so that each is cut into the widest units that all of
// them can have, 16 bytes at best, and a thread has several on the way: first their indices, then
// the units.
#include "division.h"
#include "indices.h"
#include "polyops/ops/index_select.h"
#include "row.h"
#include "table.h"

namespace polyops::gpu {
namespace {

constexpr int kSelectThreads = 256;

// Units of a thread: more of the narrow ones, for as many bytes on the way.
template <class Unit>
constexpr int kSelectUnits = sizeof(Unit) >= 8 ? 4 : 8;

// Units are numbered as they lie in the result. Steps are in bytes.
struct SelectCall {
  const char* src;
  char* dst;
  Indices index;
  int64_t outer_step;  // of the dimensions before dim, which are one
  int64_t step;        // of dim
  Division of_run;     // units
  Division of_outer;   // runs
  uint32_t units;
  int32_t one_outer;
  int32_t from_end;  // negative indices count from there
};

template <class Unit>
GPU_KERNEL(kSelectThreads)
select_units(const SelectCall c) {
  constexpr int kUnits = kSelectUnits<Unit>;
  const auto first = static_cast<uint32_t>(block_id()) * (kSelectThreads * kUnits) + thread_id();
  const char* from[kUnits];
  Index index[kUnits];
  Unit unit[kUnits];
#pragma unroll
  for (int k = 0; k < kUnits; ++k) {
    uint32_t run = first + k * kSelectThreads;
    if (run >= c.units) run = c.units - 1;
    const uint32_t place = take_remainder(c.of_run, &run);
    from[k] = c.src + place * sizeof(Unit);
    if (c.one_outer == 0) {
      const uint32_t i = take_remainder(c.of_outer, &run);
      from[k] += run * c.outer_step;
      run = i;
    }
    index[k] = c.index.load(run);
  }
  if (c.from_end != 0) {
#pragma unroll
    for (int k = 0; k < kUnits; ++k) index[k] = c.index.counted(index[k]);
  }
  bool right = true;
#pragma unroll
  for (int k = 0; k < kUnits; ++k) right = right && c.index.names(index[k]);
  halt_unless(right);
#pragma unroll
  for (int k = 0; k < kUnits; ++k) {
    from[k] += c.index.row(index[k]) * c.step;
    if constexpr (sizeof(Unit) == 16) {
      unit[k] = load_words(from[k]);
    } else {
      unit[k] = *reinterpret_cast<const Unit*>(from[k]);
    }
  }
#pragma unroll
  for (int k = 0; k < kUnits; ++k) {
    const uint32_t at = first + k * kSelectThreads;
    if (at >= c.units) continue;
    char* const to = c.dst + int64_t{at} * sizeof(Unit);
    if constexpr (sizeof(Unit) == 16) {
      store_words(to, unit[k]);
    } else {
      *reinterpret_cast<Unit*>(to) = unit[k];
    }
  }
}

// Whether the dimensions [begin, end) are as one; what that one's stride is, if it has more than
// one element.
bool merges(const polyops_tensor& t, int begin, int end, int64_t* stride) {
  bool any = false;
  int64_t expected = 0;
  for (int d = end - 1; d >= begin; --d) {
    if (t.sizes[d] == 1) continue;
    if (any && t.strides[d] != expected) return false;
    if (!any) *stride = t.strides[d];
    any = true;
    expected = t.strides[d] * t.sizes[d];
  }
  return true;
}

int64_t numel_between(const polyops_tensor& t, int begin, int end) {
  int64_t n = 1;
  for (int d = begin; d < end; ++d) n *= t.sizes[d];
  return n;
}

const char* select_supports(const void* data) {
  const auto& a = *static_cast<const polyops_index_select_args*>(data);
  const polyops_tensor &src = a.src, &dst = a.dst;
  if (polyops_dtype_size(src.dtype) == 0 || dst.dtype != src.dtype) return "dtype";
  if (!are_indices(a.index)) return "dtype";
  if (a.index.rank != 1 || dst.rank != src.rank) return "shape";
  for (int d = 0; d < src.rank; ++d) {
    if (dst.sizes[d] != (d == a.dim ? a.index.sizes[0] : src.sizes[d])) return "shape";
  }
  if (polyops_numel(&dst) > kMostElements || src.sizes[a.dim] > kMostElements) return "size";
  int64_t stride = 1;
  if (!merges(src, a.dim + 1, src.rank, &stride) || stride != 1) return "layout";
  const bool outer = merges(src, 0, a.dim, &stride);
  return outer && polyops_is_contiguous(&dst) != 0 ? nullptr : "layout";
}

template <class Unit>
int launch_units(SelectCall call, int64_t bytes, int64_t runs, const polyops_context* ctx) {
  const int64_t of_run = bytes / static_cast<int64_t>(sizeof(Unit));
  call.of_run = Division(static_cast<uint32_t>(of_run));
  call.units = static_cast<uint32_t>(runs * of_run);
  constexpr int64_t kOfBlock = kSelectThreads * kSelectUnits<Unit>;
  return gpu::launch(select_units<Unit>, {(call.units + kOfBlock - 1) / kOfBlock, kSelectThreads},
                     ctx, call);
}

int select(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_index_select_args*>(data);
  const int64_t width = polyops_dtype_size(a.src.dtype);
  int64_t outer_stride = 0;
  merges(a.src, 0, a.dim, &outer_stride);
  const int64_t outers = numel_between(a.src, 0, a.dim);
  SelectCall call = {};
  call.src = static_cast<const char*>(a.src.data);
  call.dst = static_cast<char*>(a.dst.data);
  call.index = indices_of(a.index, a.src.sizes[a.dim]);
  call.outer_step = outer_stride * width;
  call.step = a.src.strides[a.dim] * width;
  call.of_outer = Division(static_cast<uint32_t>(a.index.sizes[0]));
  call.one_outer = outers == 1;
  call.from_end = a.from_end;
  const int64_t bytes = numel_between(a.src, a.dim + 1, a.src.rank) * width;
  const int64_t runs = outers * a.index.sizes[0];
  const auto all = static_cast<uint64_t>(bytes | call.step | call.outer_step) |
                   reinterpret_cast<uintptr_t>(call.src) | reinterpret_cast<uintptr_t>(call.dst);
  if (all % 16 == 0) return launch_units<Words>(call, bytes, runs, ctx);
  if (all % 8 == 0) return launch_units<uint64_t>(call, bytes, runs, ctx);
  if (all % 4 == 0) return launch_units<uint32_t>(call, bytes, runs, ctx);
  if (all % 2 == 0) return launch_units<uint16_t>(call, bytes, runs, ctx);
  return launch_units<uint8_t>(call, bytes, runs, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(index_select, POLYOPS_GPU_KERNEL("index_select", "index_select",
                                                     select_supports, nullptr, select))
