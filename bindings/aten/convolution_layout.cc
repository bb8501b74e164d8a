// Read off stock's code; a CPU's checked by random calls: sizes 1 and more, permuted, sliced,
// expanded, with odd strides where they do not matter; 40,000 on torch 2.13, 200,000 on 2.11.
#include "aten/convolution_layout.h"

#include <ATen/Context.h>
#include <c10/core/MemoryFormat.h>

#include <algorithm>
#include <array>

#include "torch/allocate.h"
#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

// Sizes and strides of a tensor with two spatial dimensions.
struct Planes {
  std::array<int64_t, 4> sizes;
  std::array<int64_t, 4> strides;

  bool like_channels_last() const { return c10::is_channels_last_strides_2d(sizes, strides); }
};

// Innermost first.
constexpr std::array<int, 4> kContiguousOrder = {3, 2, 1, 0};
constexpr std::array<int, 4> kChannelsLastOrder = {1, 3, 2, 0};

bool is_dense(const Planes& t, const std::array<int, 4>& order) {
  int64_t expected = 1;
  for (int d : order) {
    if (t.sizes[d] != 1 && t.strides[d] != expected) return false;
    expected *= t.sizes[d];
  }
  return true;
}

// As Tensor::contiguous: a dense tensor stays, with the strides of its dimensions of size 1.
Planes made_dense(Planes t, const std::array<int, 4>& order) {
  if (is_dense(t, order)) return t;
  int64_t stride = 1;
  for (int d : order) {
    t.strides[d] = stride;
    stride *= t.sizes[d];
  }
  return t;
}

// Of rank 3, tensor.unsqueeze(2).
Planes planes_of(const at::Tensor& tensor) {
  Planes t;
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  const bool row = tensor.dim() == 3;
  for (int d = 0; d < 4; ++d) {
    const int from = row && d > 2 ? d - 1 : d;
    t.sizes[d] = row && d == 2 ? 1 : sizes[from];
    t.strides[d] = row && d == 2 ? sizes[2] * strides[2] : strides[from];
  }
  return t;
}

Planes input_planes(const at::Tensor& input) {
  const Planes t = planes_of(input);
  return input.dim() == 3 && !input.is_contiguous() ? made_dense(t, kContiguousOrder) : t;
}

bool has_one_pixel(c10::IntArrayRef sizes) {
  return std::all_of(sizes.begin() + 2, sizes.end(), [](int64_t size) { return size == 1; });
}

bool in_volumes(const at::Tensor& t) {
  return t.suggest_memory_format() == c10::MemoryFormat::ChannelsLast3d;
}

// Of rank 3 and 4. Whatever stock takes there, its own depthwise kernels or cuDNN, they return
// contiguous tensors where neither operand is channels last. Else cuDNN has the call, and asks
// again, for each gradient, once the input is channels last: its own strides are kept if they can
// pass for that.
ConvolutionFormat cuda_format(const Planes& input, const Planes& weight) {
  if (!input.like_channels_last() && !weight.like_channels_last()) {
    return ConvolutionFormat::kContiguous;
  }
  const bool clear = made_dense(input, kChannelsLastOrder).like_channels_last() &&
                     at::globalContext().userEnabledCuDNN() && at::Context::hasCuDNN();
  return clear ? ConvolutionFormat::kChannelsLast : ConvolutionFormat::kUnclear;
}

}  // namespace

ConvolutionFormat convolution_format(const at::Tensor& input, const at::Tensor& weight,
                                     int64_t groups) {
  if (input.dim() == 5) {
    const bool last = in_volumes(input) || in_volumes(weight);
    return last ? ConvolutionFormat::kUnclear : ConvolutionFormat::kContiguous;
  }
  if (input.is_cuda()) return cuda_format(input_planes(input), planes_of(weight));
  if (groups > 1 && has_one_pixel(input.sizes())) return ConvolutionFormat::kUnclear;
  const Planes x = input_planes(input), w = planes_of(weight);
  if (!x.like_channels_last() && !w.like_channels_last()) return ConvolutionFormat::kContiguous;
  // oneDNN asks again once both are channels last; NNPACK, which is asked without it, never does.
  const bool still = made_dense(x, kChannelsLastOrder).like_channels_last() ||
                     made_dense(w, kChannelsLastOrder).like_channels_last();
  const bool clear = still && at::globalContext().userEnabledMkldnn();
  return clear ? ConvolutionFormat::kChannelsLast : ConvolutionFormat::kUnclear;
}

bool is_unclear_of_groups(c10::IntArrayRef sizes, int64_t groups, ConvolutionFormat format) {
  return groups > 1 && format != ConvolutionFormat::kContiguous && has_one_pixel(sizes);
}

bool is_unclear_of_weight(const at::Tensor& weight, ConvolutionFormat format) {
  return format != ConvolutionFormat::kContiguous &&
         !made_dense(planes_of(weight), kChannelsLastOrder).like_channels_last();
}

void describe_in_format(c10::IntArrayRef sizes, c10::ScalarType type, ConvolutionFormat format,
                        polyops_tensor* view) {
  describe_contiguous(sizes, type, view);
  if (format == ConvolutionFormat::kContiguous) return;
  view->strides[1] = 1;
  int64_t stride = sizes[1];
  for (int32_t d = view->rank - 1; d != 0; --d) {
    if (d == 1) continue;
    view->strides[d] = stride;
    stride *= sizes[d];
  }
  view->strides[0] = stride;
}

at::Tensor allocate_as_described(const at::Tensor& like, const polyops_tensor& view) {
  const auto rank = static_cast<size_t>(view.rank);
  const c10::IntArrayRef sizes(view.sizes, rank), strides(view.strides, rank);
  return allocate_strided(like, sizes, strides, like.scalar_type());
}

}  // namespace polyops::torch_binding
