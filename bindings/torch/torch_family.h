// Better paths of torch itself, as candidates of the family "torch" in the same ordered tables:
// gated, counted and forced like any other kernel.
#ifndef POLYOPS_BINDINGS_TORCH_TORCH_FAMILY_H_
#define POLYOPS_BINDINGS_TORCH_TORCH_FAMILY_H_

#include <string>

#include "polyops/abi.h"

namespace polyops::torch_binding {

// nullptr if this torch has none of them. chip: the CPU family's name for it, to find the gates by.
const polyops_backend* torch_family(const std::string& chip);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_TORCH_FAMILY_H_
