#include "reference/cumsum.h"

#include "reference/elements.h"

namespace polyops::reference {

void cumsum(const polyops_cumsum_args& args) {
  int64_t inner = 1;
  for (int32_t d = args.dim + 1; d < args.src.rank; ++d) inner *= args.src.sizes[d];
  const int64_t n = args.src.sizes[args.dim];
  for (int64_t line = 0; line < polyops_numel(&args.src) / n; ++line) {
    const int64_t first = line / inner * n * inner + line % inner;
    long double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      sum += static_cast<long double>(load(args.src, first + i * inner));
      store(args.dst, first + i * inner, static_cast<double>(sum));
    }
  }
}

}  // namespace polyops::reference
