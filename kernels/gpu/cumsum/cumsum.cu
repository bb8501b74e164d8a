// cumsum on GPUs.
#include "columns.h"
#include "layout.h"
#include "rows.h"
#include "table.h"

namespace polyops::gpu {
namespace {

const char* supports(const void* data) {
  const auto& a = *static_cast<const polyops_cumsum_args*>(data);
  if (!has_type(a.src.dtype)) return "dtype";
  if (a.dst.dtype != a.src.dtype && a.dst.dtype != POLYOPS_FLOAT32) return "dtype";
  LinesLayout lines;
  return find_lines(a, &lines);
}

size_t scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_cumsum_args*>(data);
  LinesLayout lines;
  if (find_lines(a, &lines) != nullptr) return 0;
  const bool wide = a.src.dtype == POLYOPS_FLOAT32;
  if (lines.columns) {
    return wide ? scan_columns_scratch<float>(lines) : scan_columns_scratch<bf16>(lines);
  }
  return wide ? scan_rows_scratch<float>(lines) : scan_rows_scratch<bf16>(lines);
}

template <class T, class U>
int scan(const LinesLayout& lines, const polyops_cumsum_args& a, const polyops_context* ctx) {
  const auto* src = static_cast<const T*>(a.src.data);
  auto* dst = static_cast<U*>(a.dst.data);
  return lines.columns ? launch_scan_columns(lines, src, dst, ctx)
                       : launch_scan_rows(lines, src, dst, ctx);
}

int cumsum(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_cumsum_args*>(data);
  LinesLayout lines;
  if (find_lines(a, &lines) != nullptr) return POLYOPS_DECLINED;
  return with_type(a.src.dtype, [&]<class T>() {
    return a.dst.dtype == a.src.dtype ? scan<T, T>(lines, a, ctx) : scan<T, float>(lines, a, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(cumsum, POLYOPS_GPU_KERNEL("cumsum", "cumsum", supports, scratch, cumsum))
