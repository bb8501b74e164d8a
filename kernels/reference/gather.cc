#include "reference/gather.h"

#include "reference/elements.h"

namespace polyops::reference {

void gather(const polyops_gather_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.dst); ++i) {
    // The element's number in src: that of its place in each dimension.
    int64_t from = 0, rest = i, step = 1;
    for (int32_t d = args.dst.rank - 1; d >= 0; --d) {
      int64_t place = rest % args.dst.sizes[d];
      rest /= args.dst.sizes[d];
      if (d == args.dim) place = static_cast<int64_t>(load(args.index, i));
      from += place * step;
      step *= args.src.sizes[d];
    }
    store(args.dst, i, load(args.src, from));
  }
}

}  // namespace polyops::reference
