// What activations share: attempts for f(src) -> dst and f'(grad_dst, src) -> grad_src,
// given how an op's argument struct is filled.
#ifndef POLYOPS_BINDINGS_TORCH_UNARY_H_
#define POLYOPS_BINDINGS_TORCH_UNARY_H_

#include <optional>

#include "torch/allocate.h"
#include "torch/call.h"
#include "torch/elementwise.h"
#include "torch/view.h"

namespace polyops::torch_binding {

// Args has src and dst; its other members are set by the caller. allocate: the result, as stock's.
template <class Args>
std::optional<at::Tensor> unary(Call& call, const at::Tensor& self, Args args,
                                at::Tensor (*allocate)(const at::Tensor&) = allocate_like) {
  args.struct_size = sizeof args;
  if (const char* reason = describe(self, &args.src)) {
    call.decline(reason);
    return std::nullopt;
  }
  args.dst = args.src;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self);
  copy_strides(out, &args.dst);
  set_input(&args.src, self);
  set_output(&args.dst, out);
  if (!call.launch(&args, out)) return std::nullopt;
  return out;
}

// out may be self.
template <class Args>
bool unary_out(Call& call, const at::Tensor& self, const at::Tensor& out, Args args) {
  args.struct_size = sizeof args;
  if (const char* reason = describe(self, &args.src)) return call.decline(reason);
  if (const char* reason = check_out(out, self.sizes(), self)) return call.decline(reason);
  if (shares_storage(out, self) && !same_view(out, self)) {
    return call.decline("out shares memory with an input");
  }
  if (const char* reason = describe(out, &args.dst)) return call.decline(reason);
  if (!call.choose(&args)) return false;
  set_output(&args.dst, out);  // first: it may give a copy-on-write self memory of its own
  set_input(&args.src, self);
  return call.launch(&args, out);
}

template <class Args>
bool describe_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                       Args* args) {
  args->struct_size = sizeof *args;
  if (!same_kind(grad_output, self)) return call.decline("mixed dtypes or devices");
  if (grad_output.sizes() != self.sizes()) return call.decline("shape");
  if (const char* reason = describe(grad_output, &args->grad_dst)) return call.decline(reason);
  if (const char* reason = describe(self, &args->src)) return call.decline(reason);
  return true;
}

// What decides the layout of the result: the operand that stock's TensorIterator meets first, or
// grad_output whatever the other one is.
enum class First { kGradOutput, kSelf, kGradOutputAlone };

inline at::Tensor allocate_gradient(const at::Tensor& grad_output, const at::Tensor& self,
                                    First first) {
  if (first == First::kGradOutputAlone) return allocate_as(grad_output);
  return first == First::kSelf ? allocate_like(self, grad_output)
                               : allocate_like(grad_output, self);
}

// Args has grad_dst, src and grad_src.
template <class Args>
std::optional<at::Tensor> unary_backward(Call& call, const at::Tensor& grad_output,
                                         const at::Tensor& self, Args args, First first) {
  if (!describe_backward(call, grad_output, self, &args)) return std::nullopt;
  args.grad_src = args.grad_dst;
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor grad_input = allocate_gradient(grad_output, self, first);
  copy_strides(grad_input, &args.grad_src);
  set_input(&args.grad_dst, grad_output);
  set_input(&args.src, self);
  set_output(&args.grad_src, grad_input);
  if (!call.launch(&args, grad_input)) return std::nullopt;
  return grad_input;
}

template <class Args>
bool unary_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                        const at::Tensor& grad_input, Args args) {
  if (!describe_backward(call, grad_output, self, &args)) return false;
  if (const char* reason = check_out(grad_input, self.sizes(), self)) return call.decline(reason);
  for (const at::Tensor* input : {&grad_output, &self}) {
    if (shares_storage(grad_input, *input) && !same_view(grad_input, *input)) {
      return call.decline("out shares memory with an input");
    }
  }
  if (const char* reason = describe(grad_input, &args.grad_src)) return call.decline(reason);
  if (!call.choose(&args)) return false;
  set_output(&args.grad_src, grad_input);
  set_input(&args.grad_dst, grad_output);
  set_input(&args.src, self);
  return call.launch(&args, grad_input);
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_TORCH_UNARY_H_
