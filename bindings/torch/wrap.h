// Turns an attempt into a dispatcher kernel: one way in, one way out.
//
//   functional:      std::optional<Result> attempt(Call&, Args...)  the result, or nothing
//   in place, out=:  bool attempt(Call&, Args...)                   true if the outputs were
//                    written
//
// An out= overload of two results writes and returns its last two arguments.
//
// An attempt that does not succeed has counted why and allocated nothing that it returns; the stock
// kernel then gets the very same arguments. Boxing them for the saved kernel costs 0.3-0.6 us on a
// CPU and up to 2.5 us beside a GPU, so torch's own kernel is called as a function, at::cpu::<op>
// or its namesake of the device, if it is what was there.
#ifndef POLYOPS_BINDINGS_TORCH_WRAP_H_
#define POLYOPS_BINDINGS_TORCH_WRAP_H_

#include <ATen/core/boxing/KernelFunction.h>
#include <ATen/core/boxing/impl/boxing.h>

#include <optional>
#include <tuple>
#include <type_traits>

#include "torch/fingerprint.h"
#include "torch/named_stock.h"
#include "torch/patch.h"

namespace polyops::torch_binding {

// torch's own kernel, given that of the CPU; NULL if another one was there.
template <class Function>
Function* named_stock(const WrappedSlot& slot, Function* of_cpu) {
  if (!slot.stock_is_torchs) return nullptr;
  return reinterpret_cast<Function*>(function_on(slot.device, reinterpret_cast<void*>(of_cpu)));
}

template <class... Args>
torch::jit::Stack call_saved(const WrappedSlot& slot, c10::DispatchKeySet keys, Args... args) {
  torch::jit::Stack stack = c10::impl::boxArgs<Args...>(std::forward<Args>(args)...);
  slot.stock->callBoxed(*slot.handle, keys, &stack);
  return stack;
}

template <class Result, class... Args>
auto wrap(std::optional<Result> (*attempt)(Call&, Args...), Result (*of_cpu)(Args...)) {
  return [=](const WrappedSlot* slot) {
    Result (*stock)(Args...) = named_stock(*slot, of_cpu);
    return torch::CppFunction([=](c10::DispatchKeySet keys, Args... args) -> Result {
      if (slot->enabled->load(std::memory_order_relaxed)) {
        Call call(*slot, Fingerprint(args...).value());
        if (!call.declined_before()) {
          if (std::optional<Result> result = attempt(call, args...)) return *std::move(result);
        }
      }
      if (stock != nullptr) return stock(std::forward<Args>(args)...);
      torch::jit::Stack stack = call_saved<Args...>(*slot, keys, args...);
      return c10::impl::PopResult<Result>::call(stack);
    });
  };
}

// What the overload writes and returns: its one argument of type at::Tensor&, or its last two.
template <class Result, class... Args>
Result written(std::tuple<Args...> args) {
  if constexpr (std::is_same_v<Result, at::Tensor&>) {
    return std::get<at::Tensor&>(args);
  } else {
    constexpr size_t kLast = sizeof...(Args) - 1;
    return Result(std::get<kLast - 1>(args), std::get<kLast>(args));
  }
}

// declined_at_once: why a call is declined, or NULL, where that is sooner seen than looked up. What
// is declined so pushes nothing out of what a thread remembers.
template <class Result, class... Args>
auto wrap(bool (*attempt)(Call&, Args...), Result (*of_cpu)(Args...),
          const char* (*declined_at_once)(Args...) = nullptr) {
  return [=](const WrappedSlot* slot) {
    Result (*stock)(Args...) = named_stock(*slot, of_cpu);
    return torch::CppFunction([=](c10::DispatchKeySet keys, Args... args) -> Result {
      Result out = written<Result>(std::tuple<Args...>(args...));
      if (slot->enabled->load(std::memory_order_relaxed)) {
        const char* reason = declined_at_once == nullptr ? nullptr : declined_at_once(args...);
        if (reason != nullptr) {
          Call(*slot, 0).decline(reason);
        } else {
          Call call(*slot, Fingerprint(args...).value());
          if (!call.declined_before() && attempt(call, args...)) return out;
        }
      }
      if (stock != nullptr) return stock(std::forward<Args>(args)...);
      call_saved<Args...>(*slot, keys, args...);
      return out;
    });
  };
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_WRAP_H_
