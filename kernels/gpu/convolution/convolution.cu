// convolution and convolution_backward on GPUs: those of one channel each ("depthwise"), in one and
// two dimensions. All others are declined by the first comparison. Bound: memory, 2 elements moved
// per result, backward 3 where one pass has all gradients (*_gradients.h), else 5. Of 16 bits, many
// are products of matrices (bands.h, row_bands.h): fmaf() one by one takes longer than memory does,
// from 5x5 taps on.
#include <algorithm>

#include "anywhere.h"
#include "bands.h"
#include "bands_gradients.h"
#include "columns.h"
#include "columns_gradients.h"
#include "columns_waves.h"
#include "last.h"
#include "last_ring_forward.h"
#include "last_ring_gradients.h"
#include "last_sums.h"
#include "layout.h"
#include "planes.h"
#include "planes_sums.h"
#include "row_bands_gradients.h"
#include "row_packs_gradients.h"
#include "row_packs_sums.h"
#include "rows.h"
#include "spread_gradients.h"
#include "spread_last.h"
#include "sums.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// ---- Forward.

const char* planes_supports(const void* p) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  if (const char* reason = supports_any(p)) return reason;
  if (!polyops_is_contiguous(&a.src) || !polyops_is_contiguous(&a.dst)) return "layout";
  const Shape shape = shape_of(a);
  if (!has_window(shape)) return "window";
  return fits_tiles(shape, polyops_dtype_size(a.src.dtype)) ? nullptr : "shape";
}

// Planes of rows, at any stride; of a filter turned, at stride 1.
template <class T>
int launch_contiguous(const Shape& s, const T* src, T* dst, const Taps<T>& taps,
                      const Bias<T>& bias, const polyops_context* ctx) {
  if (is_row(s)) return launch_row_packs(s, src, dst, taps, bias, ctx);
  if constexpr (sizeof(T) == 2) {
    if (has_bands(s, sizeof(T)) && is_aligned(src) && is_aligned(dst)) {
      return launch_bands(s, src, dst, taps, bias, ctx);
    }
  }
  if constexpr (sizeof(T) == 4) {
    if (has_column_waves(s) && is_aligned(src) && is_aligned(dst)) {
      return launch_column_waves(s, src, dst, taps, bias, ctx);
    }
  }
  if (has_columns(s) && is_aligned(src) && is_aligned(dst)) {
    return launch_columns(s, src, dst, taps, bias, ctx);
  }
  return launch_planes(s, src, dst, taps, bias, ctx);
}

int forward_planes(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  return with_type(a.src.dtype, [&]<class T>() {
    return launch_contiguous(shape_of(a), static_cast<const T*>(a.src.data),
                             static_cast<T*>(a.dst.data), taps_of<T>(a.weight), bias_of<T>(a.bias),
                             ctx);
  });
}

const char* rows_supports(const void* p) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  if (const char* reason = supports_any(p)) return reason;
  if (!polyops_is_contiguous(&a.src) || !polyops_is_contiguous(&a.dst)) return "layout";
  return has_rows(shape_of(a)) ? nullptr : "window";
}

int forward_rows(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  return with_type(a.src.dtype, [&]<class T>() {
    return launch_rows(shape_of(a), static_cast<const T*>(a.src.data), static_cast<T*>(a.dst.data),
                       taps_of<T>(a.weight), bias_of<T>(a.bias), ctx);
  });
}

const char* last_supports(const void* p) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  if (const char* reason = supports_any(p)) return reason;
  if (!is_last(a.src) || !is_last(a.dst)) return "layout";
  return has_square(shape_of(a)) ? nullptr : "window";
}

int forward_last(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const ForwardArgs*>(p);
  if (!is_aligned(a.src.data) || !is_aligned(a.dst.data)) return forward_anywhere(p, ctx);
  return with_type(a.src.dtype, [&]<class T>() {
    const Shape s = shape_of(a);
    const auto* src = static_cast<const T*>(a.src.data);
    auto* dst = static_cast<T*>(a.dst.data);
    const Taps<T> taps = taps_of<T>(a.weight);
    const Bias<T> bias = bias_of<T>(a.bias);
    const int status = launch_last_ring_forward(s, src, dst, taps, bias, ctx);
    return status == POLYOPS_DECLINED ? launch_last(s, src, dst, taps, bias, ctx) : status;
  });
}

// ---- Backward.

// The tensors that are images are all of that order.
template <class Is>
bool all_images(const BackwardArgs& a, Is is) {
  const bool out = polyops_is_present(&a.grad_src) != 0;
  return is(a.src) && is(a.grad_dst) && (!out || is(a.grad_src));
}

bool is_contiguous(const polyops_tensor& t) { return polyops_is_contiguous(&t) != 0; }

const char* backward_planes_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (const char* reason = backward_supports_any(p)) return reason;
  if (!all_images(a, is_contiguous)) return "layout";
  const Shape shape = shape_of(a);
  if (!has_window(shape)) return "window";
  const auto bytes = static_cast<int>(polyops_dtype_size(a.src.dtype));
  const Shape of_input = shape.w.stride == 1 ? turned(shape) : spread(shape);
  return fits_tiles(shape, bytes) && fits_tiles(of_input, bytes) ? nullptr : "shape";
}

const char* backward_last_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (const char* reason = backward_supports_any(p)) return reason;
  if (!all_images(a, is_last)) return "layout";
  return has_square(shape_of(a)) ? nullptr : "window";
}

const char* backward_rows_supports(const void* p) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (const char* reason = backward_supports_any(p)) return reason;
  if (!all_images(a, is_contiguous)) return "layout";
  return has_rows(shape_of(a)) ? nullptr : "window";
}

size_t planes_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const Shape shape = shape_of(a);
  const auto bytes = static_cast<int>(polyops_dtype_size(a.src.dtype));
  if (is_row(shape)) {
    return sums_bytes(shape, std::max(row_packs_grid(shape, 16 / bytes).splits,
                                      row_gradients_grid(shape, 16 / bytes).splits));
  }
  return sums_bytes(shape, std::max({int64_t{sums_grid(shape, bytes).splits},
                                     columns_gradients_splits(shape), band_splits(shape, bytes),
                                     bytes == 2 ? spread_gradients_splits<bf16>(shape)
                                                : spread_gradients_splits<float>(shape)}));
}

size_t any_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const Shape shape = shape_of(a);
  return sums_bytes(shape, any_splits(shape));
}

size_t rows_scratch(const void* p, int32_t threads) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const Shape shape = shape_of(a);
  return std::max(sums_bytes(shape, row_bands_splits(shape)), any_scratch(p, threads));
}

size_t last_scratch(const void* p, int32_t threads) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  if (!wants_sums(a)) return 0;
  const Shape shape = shape_of(a);
  return std::max({sums_bytes(shape, last_splits(shape, a.src.dtype)),
                   sums_bytes(shape, last_ring_splits(shape, a.src.dtype)),
                   any_scratch(p, threads)});
}

int backward_anywhere(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  int status = POLYOPS_OK;
  if (polyops_is_present(&a.grad_src)) status = input_anywhere(a, ctx);
  return status == POLYOPS_OK && wants_sums(a) ? sums_anywhere(a, ctx) : status;
}

// The gradient of the input: another convolution at stride 1, of the filter turned.
template <class T>
int input_planes(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const auto* grad = static_cast<const T*>(a.grad_dst.data);
  auto* dst = static_cast<T*>(a.grad_src.data);
  const Taps<T> taps = taps_of<T>(a.weight);
  if (s.w.stride == 2) return launch_spread_planes(spread(s), grad, dst, taps, ctx);
  return launch_contiguous(turned(s), grad, dst, turned(taps, s), Bias<T>{nullptr, 0}, ctx);
}
template <class T>
int input_last(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const auto* grad = static_cast<const T*>(a.grad_dst.data);
  auto* dst = static_cast<T*>(a.grad_src.data);
  const Taps<T> taps = taps_of<T>(a.weight);
  if (s.w.stride == 2) return launch_spread_last(spread(s), grad, dst, taps, ctx);
  return launch_last(turned(s), grad, dst, turned(taps, s), Bias<T>{nullptr, 0}, ctx);
}

// Whether all of a call's tensors begin where packs do.
bool is_aligned(const BackwardArgs& a) {
  return is_aligned(a.src.data) && is_aligned(a.grad_dst.data) && is_aligned(a.grad_src.data);
}

int backward_planes(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  const Shape s = shape_of(a);
  const bool out = polyops_is_present(&a.grad_src) != 0, sums = wants_sums(a);
  return with_type(a.src.dtype, [&]<class T>() {
    if (out && sums && is_aligned(a)) {
      if (is_row(s)) return launch_row_gradients<T>(a, s, ctx);
      if constexpr (sizeof(T) == 2) {
        if (has_bands(s, sizeof(T)) && fits_bands_gradients(s, ctx)) {
          return launch_bands_gradients<T>(a, s, ctx);
        }
      }
      if (has_spread_gradients(s, sizeof(T))) return launch_spread_gradients<T>(a, s, ctx);
      if (has_columns_gradients(s)) return launch_columns_gradients<T>(a, s, ctx);
    }
    const int status = out ? input_planes<T>(a, s, ctx) : POLYOPS_OK;
    if (status != POLYOPS_OK || !sums) return status;
    if (is_row(s)) return launch_row_packs_sums<T>(a, s, ctx);
    return launch_planes_sums<T>(a, s, ctx);
  });
}

bool takes_row_bands(const BackwardArgs& a, const Shape& s) {
  return polyops_dtype_size(a.src.dtype) == 2 && has_row_bands(s) && is_aligned(a);
}

int backward_rows(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  const Shape s = shape_of(a);
  if (wants_sums(a) && takes_row_bands(a, s)) {
    if (a.src.dtype == POLYOPS_BFLOAT16) return launch_row_bands_gradients<bf16>(a, s, ctx);
    return launch_row_bands_gradients<f16>(a, s, ctx);
  }
  int status = POLYOPS_OK;
  if (polyops_is_present(&a.grad_src)) {
    status = with_type(a.src.dtype, [&]<class T>() {
      return launch_rows(turned(s), static_cast<const T*>(a.grad_dst.data),
                         static_cast<T*>(a.grad_src.data), turned(taps_of<T>(a.weight), s),
                         Bias<T>{nullptr, 0}, ctx);
    });
  }
  return status == POLYOPS_OK && wants_sums(a) ? sums_anywhere(a, ctx) : status;
}

int backward_last(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const BackwardArgs*>(p);
  const bool out = polyops_is_present(&a.grad_src) != 0;
  if (!is_aligned(a.src.data) || !is_aligned(a.grad_dst.data) ||
      (out && !is_aligned(a.grad_src.data))) {
    return backward_anywhere(p, ctx);
  }
  const Shape s = shape_of(a);
  return with_type(a.src.dtype, [&]<class T>() {
    if (out && wants_sums(a) && has_last_ring(s)) {
      const int status = launch_last_ring<T>(a, s, ctx);
      if (status != POLYOPS_DECLINED) return status;
    }
    int status = POLYOPS_OK;
    if (out) status = input_last<T>(a, s, ctx);
    return status == POLYOPS_OK && wants_sums(a) ? launch_last_sums<T>(a, s, ctx) : status;
  });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(
    convolution,
    POLYOPS_GPU_KERNEL("convolution", "depthwise_planes", planes_supports, nullptr, forward_planes),
    POLYOPS_GPU_KERNEL("convolution", "depthwise_rows", rows_supports, nullptr, forward_rows),
    POLYOPS_GPU_KERNEL("convolution", "depthwise_channels_last", last_supports, nullptr,
                       forward_last),
    POLYOPS_GPU_KERNEL("convolution", "depthwise_strided", supports_any, nullptr, forward_anywhere),
    POLYOPS_GPU_KERNEL("convolution_backward", "depthwise_backward_planes",
                       backward_planes_supports, planes_scratch, backward_planes),
    POLYOPS_GPU_KERNEL("convolution_backward", "depthwise_backward_rows", backward_rows_supports,
                       rows_scratch, backward_rows),
    POLYOPS_GPU_KERNEL("convolution_backward", "depthwise_backward_channels_last",
                       backward_last_supports, last_scratch, backward_last),
    POLYOPS_GPU_KERNEL("convolution_backward", "depthwise_backward_strided", backward_supports_any,
                       any_scratch, backward_anywhere))
