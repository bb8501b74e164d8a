#include "reference/index_add.h"

#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// number_of(i): which element of the index names the place of src's i-th, where `inner` elements
// follow dim, which has `count`.
template <class Args, class F>
void add(const Args& args, double alpha, F number_of) {
  int64_t inner = 1;
  for (int32_t d = args.dim + 1; d < args.dst.rank; ++d) inner *= args.dst.sizes[d];
  const int64_t count = args.src.sizes[args.dim], places = args.dst.sizes[args.dim];
  std::vector<double> sums(polyops_numel(&args.dst));
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) {
    auto place = static_cast<int64_t>(load(args.index, number_of(i, inner, count)));
    if (args.from_end != 0 && place < 0) place += places;
    sums[(i / inner / count * places + place) * inner + i % inner] += load(args.src, i);
  }
  for (int64_t i = 0; i < polyops_numel(&args.dst); ++i) {
    store(args.dst, i, load(args.self, i) + alpha * sums[i]);
  }
}

}  // namespace

void index_add(const polyops_index_add_args& args) {
  add(args, args.alpha, [](int64_t i, int64_t inner, int64_t count) { return i / inner % count; });
}

void scatter_add(const polyops_scatter_add_args& args) {
  add(args, 1, [](int64_t i, int64_t, int64_t) { return i; });
}

}  // namespace polyops::reference
