// What the overloads of batch_norm ask of their tensors.
#ifndef POLYOPS_BINDINGS_ATEN_BATCH_NORM_VIEWS_H_
#define POLYOPS_BINDINGS_ATEN_BATCH_NORM_VIEWS_H_

#include <ATen/core/Tensor.h>

#include <optional>

#include "polyops/tensor_view.h"
#include "torch/view.h"

namespace polyops::torch_binding {

// Dense, channels next to each other.
bool is_channels_last(const at::Tensor& t);

// As (samples, channels, pixels). nullptr, or why not.
const char* describe_images(const at::Tensor& t, polyops_tensor* view);

// What cuDNN takes, of what we know that it does: float32, and float16 with float32 parameters.
const char* check_cudnn(const at::Tensor& input, const at::Tensor& weight);

// Parameters and moments, all of one dtype: the input's, or float32.
class ChannelViews {
 public:
  explicit ChannelViews(const at::Tensor& input) : input_(input) {}

  // An absent one has an absent view.
  void add(const at::Tensor* tensor, polyops_tensor* view);
  const char* reason() const { return reason_; }

 private:
  const at::Tensor& input_;
  const at::Tensor* first_ = nullptr;
  const char* reason_ = nullptr;
};

// The view's data, if the tensor is there.
void set_channels(polyops_tensor* view, const at::Tensor* tensor);
void set_running(polyops_tensor* view, const at::Tensor* tensor);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_BATCH_NORM_VIEWS_H_
