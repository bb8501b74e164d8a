#include "torch/composite.h"

#include <ATen/TracerMode.h>
#include <ATen/core/dispatch/DispatchKeyExtractor.h>

namespace polyops::torch_binding {
namespace {

// Autocast has cast by now, or will not.
constexpr c10::DispatchKeySet kPlain =
    c10::DispatchKeySet({c10::DispatchKey::Dense, c10::DispatchKey::BackendSelect,
                         c10::DispatchKey::ADInplaceOrView,
                         c10::DispatchKey::AutogradFunctionality}) |
    c10::autocast_dispatch_keyset;

}  // namespace

const char* not_plain(c10::DispatchKeySet keys) {
  if ((keys - kPlain).highestFunctionalityKey() != c10::DispatchKey::Undefined) {
    return "a transform, a mode or a subclass";
  }
  return at::tracer::impl::is_dispatch_enabled() ? "traced" : nullptr;
}

const char* not_plain_here(c10::DispatchKeySet tensors) {
  return not_plain(
      c10::impl::computeDispatchKeySet(tensors, c10::DispatchKeySet(c10::DispatchKeySet::FULL)));
}

}  // namespace polyops::torch_binding
