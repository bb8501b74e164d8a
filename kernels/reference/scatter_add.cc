#include "reference/scatter_add.h"

#include <vector>

#include "reference/elements.h"

namespace polyops::reference {

void scatter_add(const polyops_scatter_add_args& args) {
  int64_t inner = 1;
  for (int32_t d = args.dim + 1; d < args.dst.rank; ++d) inner *= args.dst.sizes[d];
  const int64_t count = args.index.sizes[args.dim], places = args.dst.sizes[args.dim];
  std::vector<double> sums(polyops_numel(&args.dst));
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    auto place = static_cast<int64_t>(load(args.index, i));
    if (args.from_end != 0 && place < 0) place += places;
    sums[(i / inner / count * places + place) * inner + i % inner] += load(args.src, i);
  }
  for (int64_t i = 0; i < polyops_numel(&args.dst); ++i) {
    store(args.dst, i, load(args.self, i) + sums[i]);
  }
}

}  // namespace polyops::reference
