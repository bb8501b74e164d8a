// What the pools' overloads have in common: windows of two or three dimensions as torch gives them,
// and results in the memory format that stock's have. Where sizes of a window may be those of
// either, the window's type says how many dimensions there are.
#ifndef POLYOPS_BINDINGS_ATEN_POOL_WINDOW_H_
#define POLYOPS_BINDINGS_ATEN_POOL_WINDOW_H_

#include <ATen/core/Tensor.h>
#include <c10/util/SmallVector.h>

#include "polyops/ops/pool2d.h"
#include "polyops/ops/pool3d.h"

namespace polyops::torch_binding {

using PoolSizes = c10::SmallVector<int64_t, 5>;

// An image, channels x (depth x) height x width or a batch of those, and what comes of it.
struct PoolShape {
  PoolSizes results;
  c10::MemoryFormat format;  // of the image: its own if it is one of channels last, or contiguous
};

struct PoolParameters {
  c10::IntArrayRef size;
  c10::IntArrayRef stride;  // none: size
  c10::IntArrayRef padding;
  c10::IntArrayRef dilation;
  bool ceil_mode;
};

// nullptr, or why stock is to have the call: it would be an error.
const char* pool_shape(const at::Tensor& image, const PoolParameters& parameters,
                       polyops_pool2d_window* window, PoolShape* shape);
const char* pool_shape(const at::Tensor& image, const PoolParameters& parameters,
                       polyops_pool3d_window* window, PoolShape* shape);
const char* adaptive_pool_shape(const at::Tensor& image, c10::IntArrayRef output_size, int dims,
                                PoolShape* shape);

// As kernels see them, with a batch.
const char* describe_image(const at::Tensor& image, int dims, polyops_tensor* view);
void describe_in_format(c10::IntArrayRef sizes, int32_t dtype, c10::MemoryFormat format, int dims,
                        polyops_tensor* view);

// As check_out(), of a tensor in just that format: stock takes any for it.
const char* check_pool_out(const at::Tensor& out, c10::IntArrayRef sizes, const at::Tensor& like,
                           c10::ScalarType type, c10::MemoryFormat format);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_POOL_WINDOW_H_
