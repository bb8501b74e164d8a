// The memory formats in which stock's convolutions return their results, on a CPU and by CUDA.
#ifndef POLYOPS_BINDINGS_ATEN_CONVOLUTION_LAYOUT_H_
#define POLYOPS_BINDINGS_ATEN_CONVOLUTION_LAYOUT_H_

#include <ATen/core/Tensor.h>

#include "polyops/tensor_view.h"

namespace polyops::torch_binding {

// kUnclear: it depends on which of its libraries stock takes, as do the cases below,
// of a CPU alone.
enum class ConvolutionFormat : uint8_t { kContiguous, kChannelsLast, kUnclear };

ConvolutionFormat convolution_format(const at::Tensor& input, const at::Tensor& weight,
                                     int64_t groups);

// Where stock has the groups computed apart and joins them, channels without any extent besides
// them pass for contiguous.
bool is_unclear_of_groups(c10::IntArrayRef sizes, int64_t groups, ConvolutionFormat format);

// One of stock's libraries asks the weight alone in which format its gradient is to be.
bool is_unclear_of_weight(const at::Tensor& weight, ConvolutionFormat format);

// Sizes and strides of a result that is not allocated yet; then the result, beside `like`.
void describe_in_format(c10::IntArrayRef sizes, c10::ScalarType type, ConvolutionFormat format,
                        polyops_tensor* view);
at::Tensor allocate_as_described(const at::Tensor& like, const polyops_tensor& view);

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_CONVOLUTION_LAYOUT_H_
