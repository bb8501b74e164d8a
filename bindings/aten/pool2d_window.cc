#include "aten/pool2d_window.h"

#include <limits>

#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

using c10::IntArrayRef;
using c10::MemoryFormat;

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

// One number for both dimensions, or two.
bool read_pair(IntArrayRef list, int64_t least, int64_t (&out)[2]) {
  if (list.size() != 1 && list.size() != 2) return false;
  for (size_t d = 0; d < 2; ++d) {
    out[d] = list[list.size() == 1 ? 0 : d];
    if (out[d] < least || out[d] > kMost) return false;
  }
  return true;
}

const char* read_image(const at::Tensor& image, PoolShape* shape) {
  if (!image.defined()) return "undefined tensor";
  if (image.dim() != 3 && image.dim() != 4) return "rank";
  shape->format = image.suggest_memory_format();
  shape->results.assign(image.sizes().begin(), image.sizes().end());
  return nullptr;
}

bool is_in_format(const at::Tensor& tensor, MemoryFormat format) {
  if (format == MemoryFormat::Contiguous) return tensor.is_contiguous();
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  return strides[1] == 1 && strides[3] == sizes[1] && strides[2] == sizes[1] * sizes[3] &&
         strides[0] == sizes[1] * sizes[2] * sizes[3];
}

}  // namespace

const char* pool_shape(const at::Tensor& image, const PoolParameters& p,
                       polyops_pool2d_window* window, PoolShape* shape) {
  if (const char* reason = read_image(image, shape)) return reason;
  if (!read_pair(p.size, 1, window->size) ||
      !read_pair(p.stride.empty() ? p.size : p.stride, 1, window->stride) ||
      !read_pair(p.padding, 0, window->padding) || !read_pair(p.dilation, 1, window->dilation)) {
    return "window";
  }
  for (int d = 0; d < 2; ++d) {
    const int64_t stride = window->stride[d], padding = window->padding[d];
    const int64_t reach = (window->size[d] - 1) * window->dilation[d] + 1;
    if (padding > reach / 2 || reach > kMost) return "window";
    int64_t& size = shape->results[image.dim() - 2 + d];
    const int64_t room = size + 2 * padding - reach + (p.ceil_mode ? stride - 1 : 0);
    if (size == 0) return "empty";
    if (room < 0) return "window";
    int64_t windows = room / stride + 1;
    // The last one begins in the image or before it.
    if (p.ceil_mode && (windows - 1) * stride >= size + padding) --windows;
    if (windows < 1) return "window";
    size = windows;
  }
  return nullptr;
}

const char* adaptive_pool_shape(const at::Tensor& image, IntArrayRef output_size,
                                PoolShape* shape) {
  if (const char* reason = read_image(image, shape)) return reason;
  if (output_size.size() != 2) return "output size";
  for (int d = 0; d < 2; ++d) {
    if (output_size[d] < 1) return "output size";
    shape->results[image.dim() - 2 + d] = output_size[d];
  }
  return nullptr;
}

const char* describe_image(const at::Tensor& image, polyops_tensor* view) {
  if (const char* reason = describe(image, view)) return reason;
  if (view->rank == 3) prepend_dimension(view);
  return nullptr;
}

void describe_in_format(IntArrayRef sizes, int32_t dtype, MemoryFormat format,
                        polyops_tensor* view) {
  describe_contiguous(sizes, c10::ScalarType::Float, view);
  view->dtype = dtype;
  if (view->rank == 3) prepend_dimension(view);
  if (format == MemoryFormat::Contiguous) return;
  view->strides[1] = 1;
  view->strides[3] = view->sizes[1];
  view->strides[2] = view->sizes[1] * view->sizes[3];
}

const char* check_pool_out(const at::Tensor& out, IntArrayRef sizes, const at::Tensor& like,
                           c10::ScalarType type, MemoryFormat format) {
  if (const char* reason = check_out(out, sizes, like, type)) return reason;
  return is_in_format(out, format) ? nullptr : "out in another memory format";
}

}  // namespace polyops::torch_binding
