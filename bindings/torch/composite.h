// As wrap.h, for a composite: an overload that torch differentiates, maps, traces and decomposes by
// what it is made of. Its wrapper stands above all that: at the Autograd key, where tensors may be
// anybody's, and at the device's own, where there is nothing to record. So before it looks at an
// argument, sizes included, it asks who else waits for the call; is there anybody but autograd,
// stock's composite runs, and its parts come to us one by one.
//
//   std::optional<Result> attempt(Call&, const Site&, Args...)
#ifndef POLYOPS_BINDINGS_TORCH_COMPOSITE_H_
#define POLYOPS_BINDINGS_TORCH_COMPOSITE_H_

#include <c10/core/DispatchKeySet.h>

#include "torch/wrap.h"

namespace polyops::torch_binding {

// Where a composite was called.
struct Site {
  const WrappedSlot& slot;
  bool differentiable;  // it may have to record a gradient
};

// nullptr if nobody but autograd and a dense kernel is among the keys of a call (functorch, a
// dispatch mode, a subclass, a tracer), else why the composite must run as it is.
const char* not_plain(c10::DispatchKeySet keys);

// The same of tensors that are not a call's arguments, given theirs: with the keys of this thread.
const char* not_plain_here(c10::DispatchKeySet tensors);

// of_composite: torch's own function of it.
template <class Result, class... Args>
auto wrap_composite(std::optional<Result> (*attempt)(Call&, const Site&, Args...),
                    Result (*of_composite)(Args...)) {
  return [=](const WrappedSlot* slot) {
    Result (*stock)(Args...) = slot->stock_is_torchs ? of_composite : nullptr;
    return torch::CppFunction([=](c10::DispatchKeySet keys, Args... args) -> Result {
      if (slot->enabled->load(std::memory_order_relaxed)) {
        if (const char* reason = not_plain(keys)) {
          Call(*slot, 0).decline(reason);
        } else {
          Call call(*slot, Fingerprint(args...).value());
          const Site site = {*slot, keys.has_any(c10::autograd_dispatch_keyset)};
          if (!call.declined_before()) {
            if (std::optional<Result> result = attempt(call, site, args...))
              return *std::move(result);
          }
        }
      }
      if (stock != nullptr) return stock(std::forward<Args>(args)...);
      torch::jit::Stack stack = call_saved<Args...>(*slot, keys, args...);
      return c10::impl::PopResult<Result>::call(stack);
    });
  };
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_COMPOSITE_H_
