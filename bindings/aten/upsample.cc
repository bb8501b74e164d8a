// aten::upsample_{nearest,bilinear,bicubic}2d, _upsample_nearest_exact2d and their backwards.
// F.interpolate and nn.Upsample of images end here.
#include "polyops/ops/upsample.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/_upsample_nearest_exact2d_backward_cpu_dispatch.h>
#include <ATen/ops/_upsample_nearest_exact2d_cpu_dispatch.h>
#include <ATen/ops/upsample_bicubic2d_backward_cpu_dispatch.h>
#include <ATen/ops/upsample_bicubic2d_cpu_dispatch.h>
#include <ATen/ops/upsample_bilinear2d_backward_cpu_dispatch.h>
#include <ATen/ops/upsample_bilinear2d_cpu_dispatch.h>
#include <ATen/ops/upsample_nearest2d_backward_cpu_dispatch.h>
#include <ATen/ops/upsample_nearest2d_cpu_dispatch.h>

#include <array>
#include <limits>

#include "aten/order.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using Factor = std::optional<double>;
using Result = std::optional<at::Tensor>;
using Sizes = std::array<int64_t, 4>;

// What overloads differ in. Stock's backwards of kBilinear and kBicubic add up in any order, and
// raise where that is forbidden; that of kBicubic has a contiguous result always.
enum Mode { kNearest, kExact, kBilinear, kBicubic };

struct Parameters {
  Mode mode;
  bool align_corners;
  Factor factor_h, factor_w;
};

template <class Args>
void fill(const Parameters& parameters, Args* args) {
  args->struct_size = sizeof *args;
  args->exact = parameters.mode == kExact;
  args->align_corners = parameters.align_corners;
  args->reserved = 0;
  args->factors[0] = parameters.factor_h.value_or(0);
  args->factors[1] = parameters.factor_w.value_or(0);
}

void describe_image(const Sizes& sizes, const at::Tensor& like, at::MemoryFormat format,
                    polyops_tensor* view) {
  describe_contiguous(sizes, like.scalar_type(), view);
  if (format != at::MemoryFormat::ChannelsLast) return;
  view->strides[1] = 1;
  view->strides[2] = sizes[3] * sizes[1];
  view->strides[3] = sizes[1];
}

// Batch and channels of `outer` with that height and width. False for what stock rejects, or whose
// elements cannot be counted.
bool sizes_of(IntArrayRef outer, IntArrayRef image, Sizes* sizes) {
  if (outer.size() != 4 || image.size() != 2) return false;
  *sizes = {outer[0], outer[1], image[0], image[1]};
  for (int64_t size : {image[0], image[1]}) {
    if (size < 1 || size > std::numeric_limits<int32_t>::max()) return false;
  }
  return true;
}

bool prepare(Call& call, const at::Tensor& self, IntArrayRef output_size,
             const Parameters& parameters, polyops_upsample_args* args, Sizes* sizes) {
  if (const char* reason = describe(self, &args->src)) return call.decline(reason);
  if (!sizes_of(self.sizes(), output_size, sizes)) return call.decline("shape");
  fill(parameters, args);
  return true;
}

Result forward(Call& call, const at::Tensor& self, IntArrayRef output_size,
               const Parameters& parameters) {
  polyops_upsample_args args;
  Sizes sizes;
  if (!prepare(call, self, output_size, parameters, &args, &sizes)) return std::nullopt;
  const at::MemoryFormat format = self.suggest_memory_format();
  describe_image(sizes, self, format, &args.dst);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor out = allocate(self, sizes, self.scalar_type(), format);
  set_input(&args.src, self);
  set_output(&args.dst, out);
  if (!call.launch(&args, out)) return std::nullopt;
  return out;
}

bool forward_out(Call& call, const at::Tensor& self, IntArrayRef output_size,
                 const Parameters& parameters, const at::Tensor& out) {
  polyops_upsample_args args;
  Sizes sizes;
  if (!prepare(call, self, output_size, parameters, &args, &sizes)) return false;
  if (const char* reason = check_out(out, sizes, self)) return call.decline(reason);
  if (shares_storage(out, self)) return call.decline("out shares memory with an input");
  if (const char* reason = describe(out, &args.dst)) return call.decline(reason);
  if (!call.choose(&args)) return false;
  set_output(&args.dst, out);
  set_input(&args.src, self);
  return call.launch(&args, out);
}

bool prepare_backward(Call& call, const at::Tensor& grad_output, IntArrayRef output_size,
                      IntArrayRef input_size, const Parameters& parameters,
                      polyops_upsample_backward_args* args, Sizes* sizes) {
  if (const char* reason = describe(grad_output, &args->grad_dst)) return call.decline(reason);
  Sizes of_gradient;
  if (input_size.size() != 4 || !sizes_of(input_size, output_size, &of_gradient) ||
      grad_output.sizes() != of_gradient ||
      !sizes_of(grad_output.sizes(), input_size.slice(2), sizes)) {
    return call.decline("shape");
  }
  if (const char* reason = parameters.mode >= kBilinear ? check_order(grad_output) : nullptr) {
    return call.decline(reason);
  }
  fill(parameters, args);
  return true;
}

Result backward(Call& call, const at::Tensor& grad_output, IntArrayRef output_size,
                IntArrayRef input_size, const Parameters& parameters) {
  polyops_upsample_backward_args args;
  Sizes sizes;
  if (!prepare_backward(call, grad_output, output_size, input_size, parameters, &args, &sizes)) {
    return std::nullopt;
  }
  const at::MemoryFormat format = parameters.mode == kBicubic ? at::MemoryFormat::Contiguous
                                                              : grad_output.suggest_memory_format();
  describe_image(sizes, grad_output, format, &args.grad_src);
  if (!call.choose(&args)) return std::nullopt;
  at::Tensor grad_input = allocate(grad_output, sizes, grad_output.scalar_type(), format);
  set_input(&args.grad_dst, grad_output);
  set_output(&args.grad_src, grad_input);
  if (!call.launch(&args, grad_input)) return std::nullopt;
  return grad_input;
}

bool backward_out(Call& call, const at::Tensor& grad_output, IntArrayRef output_size,
                  IntArrayRef input_size, const Parameters& parameters,
                  const at::Tensor& grad_input) {
  polyops_upsample_backward_args args;
  Sizes sizes;
  if (!prepare_backward(call, grad_output, output_size, input_size, parameters, &args, &sizes)) {
    return false;
  }
  if (const char* reason = check_out(grad_input, sizes, grad_output)) return call.decline(reason);
  if (shares_storage(grad_input, grad_output)) {
    return call.decline("out shares memory with an input");
  }
  if (const char* reason = describe(grad_input, &args.grad_src)) return call.decline(reason);
  if (!call.choose(&args)) return false;
  set_output(&args.grad_src, grad_input);
  set_input(&args.grad_dst, grad_output);
  return call.launch(&args, grad_input);
}

// The signatures: of nearest, and of the others, which have align_corners.
template <Mode mode>
Result nearest(Call& call, const at::Tensor& self, IntArrayRef size, Factor h, Factor w) {
  return forward(call, self, size, {mode, false, h, w});
}
template <Mode mode>
bool nearest_out(Call& call, const at::Tensor& self, IntArrayRef size, Factor h, Factor w,
                 at::Tensor& out) {
  return forward_out(call, self, size, {mode, false, h, w}, out);
}
template <Mode mode>
Result nearest_backward(Call& call, const at::Tensor& grad, IntArrayRef size,
                        IntArrayRef input_size, Factor h, Factor w) {
  return backward(call, grad, size, input_size, {mode, false, h, w});
}
template <Mode mode>
bool nearest_backward_out(Call& call, const at::Tensor& grad, IntArrayRef size,
                          IntArrayRef input_size, Factor h, Factor w, at::Tensor& out) {
  return backward_out(call, grad, size, input_size, {mode, false, h, w}, out);
}

template <Mode mode>
Result smooth(Call& call, const at::Tensor& self, IntArrayRef size, bool align_corners, Factor h,
              Factor w) {
  return forward(call, self, size, {mode, align_corners, h, w});
}
template <Mode mode>
bool smooth_out(Call& call, const at::Tensor& self, IntArrayRef size, bool align_corners, Factor h,
                Factor w, at::Tensor& out) {
  return forward_out(call, self, size, {mode, align_corners, h, w}, out);
}
template <Mode mode>
Result smooth_backward(Call& call, const at::Tensor& grad, IntArrayRef size, IntArrayRef input_size,
                       bool align_corners, Factor h, Factor w) {
  return backward(call, grad, size, input_size, {mode, align_corners, h, w});
}
template <Mode mode>
bool smooth_backward_out(Call& call, const at::Tensor& grad, IntArrayRef size,
                         IntArrayRef input_size, bool align_corners, Factor h, Factor w,
                         at::Tensor& out) {
  return backward_out(call, grad, size, input_size, {mode, align_corners, h, w}, out);
}

}  // namespace

std::vector<Overload> upsample_overloads() {
#define POLYOPS_UPSAMPLE(aten_op, op, attempt, mode)                                   \
  {#aten_op, #op, #op, wrap(attempt<mode>, at::cpu::aten_op)},                         \
      {#aten_op ".out", #op, #op, wrap(attempt##_out<mode>, at::cpu::aten_op##_outf)}, \
      {#aten_op "_backward", #op, #op "_backward",                                     \
       wrap(attempt##_backward<mode>, at::cpu::aten_op##_backward)},                   \
  {                                                                                    \
    #aten_op "_backward.grad_input", #op, #op "_backward",                             \
        wrap(attempt##_backward_out<mode>, at::cpu::aten_op##_backward_outf)           \
  }
  return {
      POLYOPS_UPSAMPLE(upsample_nearest2d, upsample_nearest2d, nearest, kNearest),
      POLYOPS_UPSAMPLE(_upsample_nearest_exact2d, upsample_nearest2d, nearest, kExact),
      POLYOPS_UPSAMPLE(upsample_bilinear2d, upsample_bilinear2d, smooth, kBilinear),
      POLYOPS_UPSAMPLE(upsample_bicubic2d, upsample_bicubic2d, smooth, kBicubic),
  };
#undef POLYOPS_UPSAMPLE
}

}  // namespace polyops::torch_binding
