#include "aten/pool_window.h"

#include <limits>

#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

using c10::IntArrayRef;
using c10::MemoryFormat;

constexpr int64_t kMost = std::numeric_limits<int32_t>::max();

// One number for all dimensions, or one for each.
template <int kDims>
bool read_numbers(IntArrayRef list, int64_t least, int64_t (&out)[kDims]) {
  if (list.size() != 1 && list.size() != kDims) return false;
  for (size_t d = 0; d < kDims; ++d) {
    out[d] = list[list.size() == 1 ? 0 : d];
    if (out[d] < least || out[d] > kMost) return false;
  }
  return true;
}

const char* read_image(const at::Tensor& image, int dims, PoolShape* shape) {
  if (!image.defined()) return "undefined tensor";
  if (image.dim() != dims + 1 && image.dim() != dims + 2) return "rank";
  shape->format = image.suggest_memory_format();
  if (dims == 3 && image.dim() == 4) {
    // Torch takes it for a batch of two dimensions.
    const at::Tensor batch = image.unsqueeze(0);
    const bool last = !batch.is_contiguous() && batch.is_contiguous(MemoryFormat::ChannelsLast3d);
    shape->format = last ? MemoryFormat::ChannelsLast3d : MemoryFormat::Contiguous;
  }
  shape->results.assign(image.sizes().begin(), image.sizes().end());
  return nullptr;
}

// Whether channels lie next to each other, then columns, rows and so on.
bool is_in_format(const at::Tensor& tensor, MemoryFormat format) {
  if (format == MemoryFormat::Contiguous) return tensor.is_contiguous();
  const auto sizes = tensor.sizes(), strides = tensor.strides();
  const int64_t rank = tensor.dim();
  const int64_t channels = rank - 1 - (format == MemoryFormat::ChannelsLast3d ? 3 : 2);
  if (strides[channels] != 1) return false;
  int64_t expected = sizes[channels];
  for (int64_t d = rank - 1; d > channels; --d) {
    if (strides[d] != expected) return false;
    expected *= sizes[d];
  }
  return channels == 0 || strides[0] == expected;
}

template <int kDims, class Window>
const char* read_window(const at::Tensor& image, const PoolParameters& p, Window* window,
                        PoolShape* shape) {
  if (const char* reason = read_image(image, kDims, shape)) return reason;
  if (!read_numbers(p.size, 1, window->size) ||
      !read_numbers(p.stride.empty() ? p.size : p.stride, 1, window->stride) ||
      !read_numbers(p.padding, 0, window->padding) ||
      !read_numbers(p.dilation, 1, window->dilation)) {
    return "window";
  }
  for (int d = 0; d < kDims; ++d) {
    const int64_t stride = window->stride[d], padding = window->padding[d];
    const int64_t reach = (window->size[d] - 1) * window->dilation[d] + 1;
    // Of three dimensions stock compares the size without its dilation, too.
    const int64_t most_padding = (kDims == 3 ? window->size[d] : reach) / 2;
    if (padding > most_padding || reach > kMost) return "window";
    int64_t& size = shape->results[image.dim() - kDims + d];
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

}  // namespace

const char* pool_shape(const at::Tensor& image, const PoolParameters& parameters,
                       polyops_pool2d_window* window, PoolShape* shape) {
  return read_window<2>(image, parameters, window, shape);
}

const char* pool_shape(const at::Tensor& image, const PoolParameters& parameters,
                       polyops_pool3d_window* window, PoolShape* shape) {
  return read_window<3>(image, parameters, window, shape);
}

const char* adaptive_pool_shape(const at::Tensor& image, IntArrayRef output_size, int dims,
                                PoolShape* shape) {
  if (const char* reason = read_image(image, dims, shape)) return reason;
  if (output_size.size() != static_cast<size_t>(dims)) return "output size";
  for (int d = 0; d < dims; ++d) {
    if (output_size[d] < 1) return "output size";
    shape->results[image.dim() - dims + d] = output_size[d];
  }
  return nullptr;
}

const char* describe_image(const at::Tensor& image, int dims, polyops_tensor* view) {
  if (const char* reason = describe(image, view)) return reason;
  if (view->rank == dims + 1) prepend_dimension(view);
  return nullptr;
}

void describe_in_format(IntArrayRef sizes, int32_t dtype, MemoryFormat format, int dims,
                        polyops_tensor* view) {
  describe_contiguous(sizes, c10::ScalarType::Float, view);
  view->dtype = dtype;
  if (view->rank == dims + 1) prepend_dimension(view);
  if (format == MemoryFormat::Contiguous) return;
  view->strides[1] = 1;
  int64_t stride = view->sizes[1];
  for (int d = dims + 1; d > 1; --d) {
    view->strides[d] = stride;
    stride *= view->sizes[d];
  }
}

const char* check_pool_out(const at::Tensor& out, IntArrayRef sizes, const at::Tensor& like,
                           c10::ScalarType type, MemoryFormat format) {
  if (const char* reason = check_out(out, sizes, like, type)) return reason;
  return is_in_format(out, format) ? nullptr : "out in another memory format";
}

}  // namespace polyops::torch_binding
