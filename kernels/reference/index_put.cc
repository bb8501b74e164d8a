#include "reference/index_put.h"

#include <vector>

#include "reference/elements.h"

namespace polyops::reference {

void index_put(const polyops_index_put_args& args, const polyops_tensor& dst) {
  const int64_t width = args.src.sizes[1];
  std::vector<double> sums(polyops_numel(&dst));
  for (int64_t i = 0; i < args.src.sizes[0]; ++i) {
    int64_t row = 0;
    for (int32_t k = 0; k < args.indices; ++k) {
      const auto place = static_cast<int64_t>(load(args.index[k], i));
      row = row * dst.sizes[k] + (place < 0 ? place + dst.sizes[k] : place);
    }
    for (int64_t j = 0; j < width; ++j) sums[row * width + j] += load(args.src, i * width + j);
  }
  for (int64_t i = 0; i < polyops_numel(&dst); ++i) {
    store(dst, i, load(args.self, i) + sums[i]);
  }
}

}  // namespace polyops::reference
