#include "aten/batch_norm_views.h"

#include "torch/view.h"

namespace polyops::torch_binding {

bool is_channels_last(const at::Tensor& t) {
  if (t.dim() == 4) return t.is_contiguous(at::MemoryFormat::ChannelsLast);
  return t.dim() == 5 && t.is_contiguous(at::MemoryFormat::ChannelsLast3d);
}

const char* describe_images(const at::Tensor& t, polyops_tensor* view) {
  if (const char* reason = describe(t, view)) return reason;
  if (t.dim() < 2) return "shape";
  const int64_t samples = t.size(0), channels = t.size(1);
  const int64_t pixels = t.numel() / (samples * channels);
  if (t.is_contiguous()) {
    describe_contiguous({samples, channels, pixels}, t.scalar_type(), view);
    return nullptr;
  }
  if (!is_channels_last(t)) return "layout";
  describe_contiguous({samples, channels, pixels}, t.scalar_type(), view);
  view->strides[1] = 1;
  view->strides[2] = channels;
  return nullptr;
}

const char* check_cudnn(const at::Tensor& input, const at::Tensor& weight) {
  if (!input.defined() || !weight.defined()) return "undefined tensor";
  if (input.dim() < 2 || input.dim() > 5) return "rank";
  const bool known = input.scalar_type() == at::kFloat || input.scalar_type() == at::kHalf;
  if (!known || weight.scalar_type() != at::kFloat) return "dtype";
  return input.is_contiguous(input.suggest_memory_format()) ? nullptr : "layout";
}

void ChannelViews::add(const at::Tensor* tensor, polyops_tensor* view) {
  *view = absent();
  if (tensor == nullptr || reason_ != nullptr) return;
  if (first_ == nullptr) first_ = tensor;
  if (tensor->dim() != 1 || tensor->numel() != input_.size(1)) {
    reason_ = "shape";
  } else if (tensor->device() != input_.device()) {
    reason_ = "mixed devices";
  } else if (tensor->scalar_type() != first_->scalar_type() ||
             (tensor->scalar_type() != at::kFloat &&
              tensor->scalar_type() != input_.scalar_type())) {
    reason_ = "mixed dtypes";
  } else if (!tensor->is_contiguous()) {
    reason_ = "layout of a parameter";
  } else {
    reason_ = describe(*tensor, view);
  }
}

void set_channels(polyops_tensor* view, const at::Tensor* tensor) {
  if (tensor != nullptr && polyops_is_present(view)) set_input(view, *tensor);
}

void set_running(polyops_tensor* view, const at::Tensor* tensor) {
  if (tensor != nullptr && polyops_is_present(view)) set_output(view, *tensor);
}

}  // namespace polyops::torch_binding
