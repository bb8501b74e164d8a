// aten::convolution and its backward. nn.Conv1d, Conv2d and Conv3d end here.
#include "polyops/ops/convolution.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/convolution_backward_compositeexplicitautograd_dispatch.h>
#include <ATen/ops/convolution_compositeexplicitautograd_dispatch.h>
#include <c10/util/SmallVector.h>

#include <array>
#include <limits>

#include "aten/convolution_layout.h"
#include "aten/table.h"
#include "torch/context.h"
#include "torch/packs.h"
#include "torch/results.h"
#include "torch/view.h"
#include "torch/wrap.h"

namespace polyops::torch_binding {
namespace {

using at::IntArrayRef;
using Sizes = c10::SmallVector<int64_t, 2 + POLYOPS_MAX_SPATIAL>;
using Format = ConvolutionFormat;

struct Parameters {
  IntArrayRef stride;
  IntArrayRef padding;
  IntArrayRef dilation;
  bool transposed;
  IntArrayRef output_padding;
  int64_t groups;
};

// So that no sum or product of a few of them overflows.
constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

// Elements of an image with its padding: no kernel could hold more, nor count them in 64 bits where
// windows miss all of the image but one pixel.
constexpr double kMostPadded = 1e12;

// A list of one value is meant for every spatial dimension.
bool read_list(IntArrayRef list, int64_t spatial, int64_t least, int64_t most, int64_t* out) {
  const auto count = static_cast<int64_t>(list.size());
  if (count != 1 && count != spatial) return false;
  for (int64_t d = 0; d < spatial; ++d) {
    const int64_t value = list[count == 1 ? 0 : d];
    if (value < least || value > most) return false;
    out[d] = value;
  }
  return true;
}

bool read_window(const Parameters& p, int64_t spatial, polyops_convolution_window* window) {
  *window = {{1, 1, 1}, {0, 0, 0}, {1, 1, 1}};
  int64_t zeros[POLYOPS_MAX_SPATIAL];
  return read_list(p.stride, spatial, 1, kMost, window->stride) &&
         read_list(p.padding, spatial, 0, kMost, window->padding) &&
         read_list(p.dilation, spatial, 1, kMost, window->dilation) &&
         read_list(p.output_padding, spatial, 0, 0, zeros);
}

// Args: of either direction. result: the sizes of dst or its gradient.
template <class Args>
const char* describe_operands(const at::Tensor& input, const at::Tensor& weight,
                              const Parameters& p, Args* args, Sizes* result) {
  if (p.transposed) return "transposed";
  if (!same_kind(input, weight)) return "mixed dtypes or devices";
  if (!input.is_cpu() && !input.is_cuda()) return "device";
  const int64_t rank = weight.dim(), spatial = rank - 2;
  if (spatial < 1 || spatial > POLYOPS_MAX_SPATIAL || input.dim() != rank) return "shape";
  if (p.groups < 1 || p.groups > kMost) return "groups";
  if (!read_window(p, spatial, &args->window)) return "stride, padding or dilation";
  if (const char* reason = describe(input, &args->src)) return reason;
  if (const char* reason = describe(weight, &args->weight)) return reason;
  const int64_t *in = args->src.sizes, *taps = args->weight.sizes;
  if (in[1] != taps[1] * p.groups || taps[0] % p.groups != 0) return "shape";
  *result = {in[0], taps[0]};
  double padded = static_cast<double>(in[1]);
  for (int64_t d = 0; d < spatial; ++d) {
    const int64_t span = args->window.dilation[d] * (taps[d + 2] - 1) + 1;
    const int64_t room = in[d + 2] + 2 * args->window.padding[d] - span;
    if (room < 0) return "shape";
    result->push_back(room / args->window.stride[d] + 1);
    padded *= static_cast<double>(in[d + 2] + 2 * args->window.padding[d]);
  }
  if (padded > kMostPadded) return "padding";
  args->struct_size = sizeof *args;
  args->groups = static_cast<int32_t>(p.groups);
  return nullptr;
}

const char* describe_bias(const OptionalTensor& bias, const at::Tensor& input, int64_t filters,
                          polyops_tensor* view) {
  *view = absent();
  if (!bias.has_value() || !bias->defined()) return nullptr;
  if (!same_kind(*bias, input)) return "mixed dtypes or devices";
  if (bias->dim() != 1 || bias->size(0) != filters) return "shape";
  return describe(*bias, view);
}

// float32, and stock may compute in bfloat16: much faster. Asked of a call that a kernel would
// take, because the answer takes a walk through two maps.
bool left_to_bf16(Call& call, const at::Tensor& input) {
  if (input.scalar_type() != at::kFloat || !bf16_convolutions_allowed(input.device().type())) {
    return false;
  }
  call.decline("bfloat16 products are allowed");
  return true;
}

std::optional<at::Tensor> convolution(Call& call, const at::Tensor& input, const at::Tensor& weight,
                                      const OptionalTensor& bias, IntArrayRef stride,
                                      IntArrayRef padding, IntArrayRef dilation, bool transposed,
                                      IntArrayRef output_padding, int64_t groups) {
  const Parameters parameters{stride, padding, dilation, transposed, output_padding, groups};
  polyops_convolution_args args;
  Sizes sizes;
  const char* reason = describe_operands(input, weight, parameters, &args, &sizes);
  if (!reason) reason = describe_bias(bias, input, weight.size(0), &args.bias);
  if (!reason) {
    const Format format = convolution_format(input, weight, groups);
    describe_in_format(sizes, input.scalar_type(), format, &args.dst);
    const bool unclear = input.is_cpu() && is_unclear_of_groups(sizes, groups, format);
    if (format == Format::kUnclear || unclear) reason = "layout";
  }
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  // A weight that was packed by polyops.freeze(), if a kernel is the faster for it.
  const std::shared_ptr<const Pack> pack = pack_of(weight);
  polyops_convolution_prepacked_args prepacked;
  const void* chosen = &args;
  if (pack != nullptr && pack->groups == groups) {
    prepacked = {sizeof prepacked, 0, &args, &pack->content};
    if (call.choose_from(*pack->table, &prepacked)) chosen = &prepacked;
  }
  // Of two calls alike one may have a pack, on a CPU.
  const bool alike = !input.is_cpu() || !any_packs();
  if (chosen == &args && !call.choose(&args, /*remember=*/alike)) return std::nullopt;
  if (left_to_bf16(call, input)) return std::nullopt;
  at::Tensor out = allocate_as_described(input, args.dst);
  set_input(&args.src, input);
  set_input(&args.weight, weight);
  if (polyops_is_present(&args.bias)) set_input(&args.bias, *bias);
  set_output(&args.dst, out);
  if (!call.launch(chosen, out)) return std::nullopt;
  return out;
}

const char* describe_gradients(const at::Tensor& input, const at::Tensor& weight, int64_t groups,
                               std::array<bool, 3> mask, polyops_convolution_backward_args* args) {
  if (!mask[0] && !mask[1] && !mask[2]) return "no gradient is asked for";
  // oneDNN returns that of the weight along with it, asked for or not.
  if (mask[2] && !mask[1] && input.scalar_type() != at::kDouble) return "gradient of a bias alone";
  const Format format = convolution_format(input, weight, groups);
  if (format == Format::kUnclear) return "layout";
  args->grad_src = args->grad_weight = args->grad_bias = absent();
  if (mask[0]) {
    describe_in_format(input.sizes(), input.scalar_type(), format, &args->grad_src);
  }
  if (mask[1]) {
    if (input.is_cpu() && (is_unclear_of_groups(weight.sizes(), groups, format) ||
                           is_unclear_of_weight(weight, format))) {
      return "layout";
    }
    describe_in_format(weight.sizes(), input.scalar_type(), format, &args->grad_weight);
  }
  if (mask[2]) describe_contiguous(weight.size(0), input.scalar_type(), &args->grad_bias);
  return nullptr;
}

// Stock does not look at the sizes of the bias either.
std::optional<Three> convolution_backward(Call& call, const at::Tensor& grad_out,
                                          const at::Tensor& input, const at::Tensor& weight,
                                          at::OptionalIntArrayRef /*bias_sizes*/,
                                          IntArrayRef stride, IntArrayRef padding,
                                          IntArrayRef dilation, bool transposed,
                                          IntArrayRef output_padding, int64_t groups,
                                          std::array<bool, 3> output_mask) {
  const Parameters parameters{stride, padding, dilation, transposed, output_padding, groups};
  polyops_convolution_backward_args args;
  Sizes sizes;
  const char* reason = describe_operands(input, weight, parameters, &args, &sizes);
  if (!reason && !same_kind(grad_out, input)) reason = "mixed dtypes or devices";
  if (!reason && grad_out.sizes() != IntArrayRef(sizes)) reason = "shape";
  if (!reason) reason = describe(grad_out, &args.grad_dst);
  if (!reason) reason = describe_gradients(input, weight, groups, output_mask, &args);
  if (reason) {
    call.decline(reason);
    return std::nullopt;
  }
  if (!call.choose(&args) || left_to_bf16(call, input)) return std::nullopt;
  std::array<at::Tensor, 3> gradients;
  polyops_tensor* views[] = {&args.grad_src, &args.grad_weight, &args.grad_bias};
  for (int i = 0; i < 3; ++i) {
    if (!output_mask[i]) continue;
    gradients[i] = allocate_as_described(input, *views[i]);
    set_output(views[i], gradients[i]);
  }
  set_input(&args.grad_dst, grad_out);
  set_input(&args.src, input);
  set_input(&args.weight, weight);
  if (!call.launch(&args, input)) return std::nullopt;
  return Three(std::move(gradients[0]), std::move(gradients[1]), std::move(gradients[2]));
}

constexpr const char kCopies[] = "stock copies the result of the functional form, which is taken";
constexpr const char kElsewhere[] = "for devices outside of torch: stock raises on a CPU";
constexpr const char kInside[] = "what stock's convolution calls; the rest are old traces";

}  // namespace

std::vector<Overload> convolution_overloads() {
  static constexpr char kOp[] = "convolution", kBackward[] = "convolution_backward";
  static constexpr char kFile[] = "RegisterCompositeExplicitAutograd";
  return {
      {"convolution", kOp, kOp, wrap(convolution, at::compositeexplicitautograd::convolution),
       nullptr, kFile},
      {"convolution.out", kOp, kOp, nullptr, kCopies},
      {"convolution_backward", kOp, kBackward,
       wrap(convolution_backward, at::compositeexplicitautograd::convolution_backward), nullptr,
       kFile},
      {"convolution_backward.out", kOp, kBackward, nullptr, kCopies},
      {"convolution_overrideable", kOp, kOp, nullptr, kElsewhere},
      {"convolution_overrideable.out", kOp, kOp, nullptr, kElsewhere},
      {"convolution_backward_overrideable", kOp, kBackward, nullptr, kElsewhere},
      {"convolution_backward_overrideable.out", kOp, kBackward, nullptr, kElsewhere},
      {"_convolution", kOp, kOp, nullptr, kInside},
      {"_convolution.deprecated", kOp, kOp, nullptr, kInside},
      {"_convolution.out", kOp, kOp, nullptr, kInside},
  };
}

}  // namespace polyops::torch_binding
