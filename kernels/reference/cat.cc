#include "reference/cat.h"

#include "reference/elements.h"

namespace polyops::reference {

void cat(const polyops_cat_args& args) {
  int64_t inner = 1;
  for (int32_t d = args.dim + 1; d < args.dst.rank; ++d) inner *= args.dst.sizes[d];
  const int64_t row = args.dst.sizes[args.dim] * inner;
  int64_t begin = 0;
  for (int64_t s = 0; s < args.count; ++s) {
    const polyops_tensor& src = args.srcs[s];
    const int64_t part = src.sizes[args.dim] * inner;
    for (int64_t i = 0; i < polyops_numel(&src); ++i) {
      store(args.dst, i / part * row + begin + i % part, load(src, i));
    }
    begin += part;
  }
}

}  // namespace polyops::reference
