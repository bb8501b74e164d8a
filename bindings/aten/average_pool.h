// Averages of windows and of shares of an image, of kDims dimensions: what the overloads of two and
// of three have in common.
#ifndef POLYOPS_BINDINGS_ATEN_AVERAGE_POOL_H_
#define POLYOPS_BINDINGS_ATEN_AVERAGE_POOL_H_

#include <ATen/core/Tensor.h>

#include <optional>

#include "aten/order.h"
#include "aten/pool_window.h"
#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {

template <int kDims>
struct AverageArgs {
  using Forward = polyops_avg_pool2d_args;
  using Backward = polyops_avg_pool2d_backward_args;
};
template <>
struct AverageArgs<3> {
  using Forward = polyops_avg_pool3d_args;
  using Backward = polyops_avg_pool3d_backward_args;
};

// Of a window's average, as torch gives it.
struct AverageParameters {
  PoolParameters window;
  bool count_include_pad;
  std::optional<int64_t> divisor;
};

// ---- The calls' images, given an argument struct whose other members are set.

template <int kDims, class Args>
bool prepare(Call& call, const at::Tensor& self, const PoolShape& shape, Args* args) {
  if (const char* reason = describe_image(self, kDims, &args->src)) return call.decline(reason);
  describe_in_format(shape.results, args->src.dtype, shape.format, kDims, &args->dst);
  return call.choose(args);
}

template <class Args>
bool run(Call& call, const at::Tensor& self, const at::Tensor& out, Args* args) {
  set_input(&args->src, self);
  set_output(&args->dst, out);
  return call.launch(args, out);
}

template <int kDims, class Args>
std::optional<at::Tensor> pool(Call& call, const at::Tensor& self, const PoolShape& shape,
                               Args* args) {
  if (!prepare<kDims>(call, self, shape, args)) return std::nullopt;
  at::Tensor out = allocate(self, shape.results, self.scalar_type(), shape.format);
  if (!run(call, self, out, args)) return std::nullopt;
  return out;
}

template <int kDims, class Args>
bool prepare_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                      const PoolShape& shape, Args* args) {
  polyops_tensor image;
  const char* reason = describe_image(self, kDims, &image);
  if (!reason && !same_kind(grad_output, self)) reason = "mixed dtypes or devices";
  if (!reason && grad_output.sizes() != at::IntArrayRef(shape.results)) reason = "shape";
  if (!reason) reason = describe_image(grad_output, kDims, &args->grad_dst);
  if (reason) return call.decline(reason);
  describe_in_format(self.sizes(), image.dtype, shape.format, kDims, &args->grad_src);
  return call.choose(args);
}

template <class Args>
bool run_backward(Call& call, const at::Tensor& grad_output, const at::Tensor& grad_input,
                  Args* args) {
  set_input(&args->grad_dst, grad_output);
  set_output(&args->grad_src, grad_input);
  return call.launch(args, grad_input);
}

template <int kDims, class Args>
std::optional<at::Tensor> pool_backward(Call& call, const at::Tensor& grad_output,
                                        const at::Tensor& self, const PoolShape& shape,
                                        Args* args) {
  if (!prepare_backward<kDims>(call, grad_output, self, shape, args)) return std::nullopt;
  at::Tensor grad_input = allocate(self, self.sizes(), self.scalar_type(), shape.format);
  if (!run_backward(call, grad_output, grad_input, args)) return std::nullopt;
  return grad_input;
}

// ---- Of windows.

// Of three dimensions stock's results and gradients are contiguous, whatever the image is, and
// windows larger than the image an error, even if it is padded.
template <int kDims, class Args>
const char* check_volume(const at::Tensor& self, const Args& args, PoolShape* shape) {
  if constexpr (kDims == 3) {
    const bool last = self.suggest_memory_format() == c10::MemoryFormat::ChannelsLast;
    if (last) return "memory format";
    for (int d = 0; d < kDims; ++d) {
      if (self.size(self.dim() - kDims + d) < args.window.size[d]) return "window";
    }
    shape->format = c10::MemoryFormat::Contiguous;
  }
  return nullptr;
}

template <int kDims, class Args>
bool read(Call& call, const at::Tensor& self, const AverageParameters& parameters, PoolShape* shape,
          Args* args) {
  args->struct_size = sizeof *args;
  args->count_padding = parameters.count_include_pad;
  args->divisor = parameters.divisor.value_or(0);
  const bool fits = args->divisor == static_cast<int32_t>(args->divisor);
  const char* reason = fits && !(parameters.divisor && args->divisor == 0) ? nullptr : "divisor";
  if (!reason) reason = pool_shape(self, parameters.window, &args->window, shape);
  if (!reason) reason = check_volume<kDims>(self, *args, shape);
  return reason == nullptr || call.decline(reason);
}

template <int kDims>
std::optional<at::Tensor> average(Call& call, const at::Tensor& self,
                                  const AverageParameters& parameters) {
  typename AverageArgs<kDims>::Forward args;
  PoolShape shape;
  if (!read<kDims>(call, self, parameters, &shape, &args)) return std::nullopt;
  return pool<kDims>(call, self, shape, &args);
}

template <int kDims>
bool average_out(Call& call, const at::Tensor& self, const AverageParameters& parameters,
                 at::Tensor& out) {
  typename AverageArgs<kDims>::Forward args;
  PoolShape shape;
  if (!read<kDims>(call, self, parameters, &shape, &args)) return false;
  if (const char* reason =
          check_pool_out(out, shape.results, self, self.scalar_type(), shape.format)) {
    return call.decline(reason);
  }
  if (shares_storage(out, self)) return call.decline("out shares memory with an input");
  return prepare<kDims>(call, self, shape, &args) && run(call, self, out, &args);
}

template <int kDims>
std::optional<at::Tensor> average_backward(Call& call, const at::Tensor& grad_output,
                                           const at::Tensor& self,
                                           const AverageParameters& parameters) {
  typename AverageArgs<kDims>::Backward args;
  PoolShape shape;
  if (!read<kDims>(call, self, parameters, &shape, &args)) return std::nullopt;
  return pool_backward<kDims>(call, grad_output, self, shape, &args);
}

template <int kDims>
bool average_backward_out(Call& call, const at::Tensor& grad_output, const at::Tensor& self,
                          const AverageParameters& parameters, at::Tensor& grad_input) {
  typename AverageArgs<kDims>::Backward args;
  PoolShape shape;
  if (!read<kDims>(call, self, parameters, &shape, &args)) return false;
  if (const char* reason =
          check_pool_out(grad_input, self.sizes(), self, self.scalar_type(), shape.format)) {
    return call.decline(reason);
  }
  if (shares_storage(grad_input, grad_output)) {
    return call.decline("out shares memory with an input");
  }
  return prepare_backward<kDims>(call, grad_output, self, shape, &args) &&
         run_backward(call, grad_output, grad_input, &args);
}

// ---- Of shares.

inline const char* adaptive_gradient_shape(const at::Tensor& grad_output, const at::Tensor& self,
                                           int dims, PoolShape* shape) {
  if (!grad_output.defined()) return "undefined tensor";
  if (grad_output.dim() < dims) return "rank";
  const at::IntArrayRef results = grad_output.sizes().slice(grad_output.dim() - dims);
  if (const char* reason = adaptive_pool_shape(self, results, dims, shape)) return reason;
  return check_order(self);
}

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_AVERAGE_POOL_H_
