// any and all on GPUs. Bytes are looked at four at a time, as words of float32: a layout whose
// words are not a result's, or not neighbouring results', each is left to stock.
#include "polyops/ops/reduction.h"
#include "reduction/search.h"
#include "reduction/state_calls.h"
#include "table.h"

namespace polyops::gpu {
namespace {

constexpr int kPerWord = 4;

bool in_words(const Walk<2>& walk, int t) {
  for (int d = 0; d < walk.rank; ++d) {
    if (walk.sizes[d] != 1 && walk.strides[t][d] % kPerWord != 0) return false;
  }
  return true;
}

// From bytes: null, or why it cannot be.
const char* to_words(ReductionLayout* of) {
  const bool runs = of->count == 1 || of->run_stride % kPerWord == 0;
  if (!runs || !in_words(of->kept, 1)) return "bytes";
  if (of->columns) {
    const bool rows = of->n == 1 || of->stride % kPerWord == 0;
    if (!rows || of->width % kPerWord != 0 || of->dst_step != 1) return "bytes";
    if (!in_words(of->kept, 0)) return "bytes";
    of->width /= kPerWord;
    of->stride /= kPerWord;
  } else {
    if (of->n % kPerWord != 0) return "bytes";
    of->n /= kPerWord;
  }
  of->run_stride /= kPerWord;
  for (int d = 0; d < of->kept.rank; ++d) {
    of->kept.strides[1][d] /= kPerWord;
    if (of->columns) of->kept.strides[0][d] /= kPerWord;
  }
  return nullptr;
}

const char* find_search(const polyops_reduction_args& a, ReductionLayout* layout) {
  const bool bytes = a.src.dtype == POLYOPS_UINT8;
  if (a.dst.dtype != POLYOPS_UINT8 || (!bytes && !has_type(a.src.dtype))) return "dtype";
  if (const char* reason = countable_layout(a, layout)) return reason;
  return bytes ? to_words(layout) : nullptr;
}

const char* search_supports(const void* data) {
  ReductionLayout layout;
  return find_search(*static_cast<const polyops_reduction_args*>(data), &layout);
}

size_t search_scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_reduction_args*>(data);
  ReductionLayout layout;
  if (find_search(a, &layout) != nullptr) return 0;
  return layout_scratch(layout, a.src.dtype == POLYOPS_FLOAT32 || a.src.dtype == POLYOPS_UINT8);
}

int search(const void* data, bool all, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_reduction_args*>(data);
  ReductionLayout layout;
  if (find_search(a, &layout) != nullptr) return POLYOPS_DECLINED;
  auto* dst = static_cast<uint8_t*>(a.dst.data);
  const uint32_t flip = all ? ~0u : 0u;
  if (a.src.dtype != POLYOPS_UINT8) {
    return with_type(a.src.dtype, [&]<class T>() {
      return launch_states_in<SearchOf<Elements>>(layout, static_cast<const T*>(a.src.data),
                                                  {dst, {flip}, false}, ctx);
    });
  }
  const auto at = reinterpret_cast<uintptr_t>(a.src.data) |
                  (layout.columns ? reinterpret_cast<uintptr_t>(dst) : 0);
  if (at % kPerWord != 0) return POLYOPS_DECLINED;
  return launch_states_in<SearchOf<Bytes>>(layout, static_cast<const float*>(a.src.data),
                                           {dst, {flip}, layout.columns}, ctx);
}

int any_of(const void* data, const polyops_context* ctx) { return search(data, false, ctx); }

int all_of(const void* data, const polyops_context* ctx) { return search(data, true, ctx); }

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(any, POLYOPS_GPU_KERNEL("all", "all", search_supports, search_scratch, all_of),
                    POLYOPS_GPU_KERNEL("any", "any", search_supports, search_scratch, any_of))
