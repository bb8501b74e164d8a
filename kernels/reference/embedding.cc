#include "reference/embedding.h"

#include <vector>

#include "reference/elements.h"

namespace polyops::reference {

void embedding_backward(const polyops_embedding_backward_args& args) {
  const int64_t lookups = args.grad_dst.sizes[0];
  const int64_t rows = args.grad_weight.sizes[0], width = args.grad_weight.sizes[1];
  std::vector<double> sums(rows * width), counts(rows);
  for (int64_t i = 0; i < lookups; ++i) {
    const auto row = static_cast<int64_t>(load(args.index, i));
    if (row == args.padding) continue;
    counts[row] += 1;
    for (int64_t k = 0; k < width; ++k) sums[row * width + k] += load(args.grad_dst, i * width + k);
  }
  for (int64_t i = 0; i < rows * width; ++i) {
    const double count = counts[i / width];
    store(args.grad_weight, i, args.scale_by_freq != 0 && count != 0 ? sums[i] / count : sums[i]);
  }
}

}  // namespace polyops::reference
