#include "reference/index_select.h"

#include "reference/elements.h"

namespace polyops::reference {

void index_select(const polyops_index_select_args& args) {
  int64_t inner = 1;
  for (int32_t d = args.dim + 1; d < args.dst.rank; ++d) inner *= args.dst.sizes[d];
  const int64_t count = args.index.sizes[0], places = args.src.sizes[args.dim];
  for (int64_t i = 0; i < polyops_numel(&args.dst); ++i) {
    const int64_t outer = i / inner / count;
    auto place = static_cast<int64_t>(load(args.index, i / inner % count));
    if (args.from_end != 0 && place < 0) place += places;
    store(args.dst, i, load(args.src, (outer * places + place) * inner + i % inner));
  }
}

}  // namespace polyops::reference
