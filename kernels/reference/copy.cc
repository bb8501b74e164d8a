#include "reference/copy.h"

#include "reference/elements.h"

namespace polyops::reference {

void copy(const polyops_copy_args& args) {
  for (int64_t i = 0; i < polyops_numel(&args.src); ++i) store(args.dst, i, load(args.src, i));
}

}  // namespace polyops::reference
