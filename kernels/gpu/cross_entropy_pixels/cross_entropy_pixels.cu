// cross_entropy and cross_entropy_backward of images by classes by pixels on GPUs.
#include <cstdint>

#include "backward.h"
#include "cross_entropy/checks.h"
#include "forward.h"
#include "polyops/ops/cross_entropy.h"
#include "shared_memory.h"
#include "table.h"
#include "tile.h"

namespace polyops::gpu {
namespace {

// Beyond it few threads would walk for long.
constexpr int64_t kMostPixelClasses = 1024;

// By tiles where classes are few. (Many in tiles of fewer pixels, as backward, which has to hold
// them: 20 % slower on an H200 than walking over them.)
template <class T, Smooth kSmooth>
int launch_losses(const PixelsCall<T>& call, const polyops_tensor& src,
                  const polyops_context* ctx) {
  if constexpr (kSmooth != Smooth::kWeighted) {
    if (group_of<T>(src, ctx) == kPixelThreads) {
      return gpu::launch(cross_entropy_tile<T, kSmooth>, tile_shape<T, kPixelThreads>(src), ctx,
                         call);
    }
  }
  return gpu::launch(cross_entropy_pixels<T, kSmooth>, {pixel_blocks(src), kPixelThreads}, ctx,
                     call);
}

template <class T>
int launch_pixels(const polyops_cross_entropy_args& a, const polyops_context* ctx) {
  const bool none = a.reduction == POLYOPS_NLL_LOSS_NONE;
  const int64_t classes = a.src.sizes[1], blocks = pixel_blocks(a.src);
  auto* scratch = static_cast<float*>(ctx->scratch);
  auto* dst = static_cast<T*>(a.dst.data);
  const PixelsCall<T> call = {scores_of<T>(a.src),
                              tiling_of(a.src, has_quads<T>(a.src)),
                              targets_of(a.target, a.ignore_index, classes),
                              weights_of<T>(a.weight),
                              static_cast<float>(1 - a.label_smoothing),
                              static_cast<float>(a.label_smoothing / classes),
                              none ? dst : nullptr,
                              step_of(a.dst, a.reduction),
                              none ? nullptr : scratch};
  const auto launch = call.spread == 0               ? launch_losses<T, Smooth::kNone>
                      : call.weights.data == nullptr ? launch_losses<T, Smooth::kEqual>
                                                     : launch_losses<T, Smooth::kWeighted>;
  const int status = launch(call, a.src, ctx);
  if (status != POLYOPS_OK || none) return status;
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const bool counted = mean && polyops_is_present(&a.total_weight) != 0;
  return gpu::launch(cross_entropy_end<T>, end_shape(blocks), ctx, scratch,
                     static_cast<int>(blocks), dst,
                     counted ? static_cast<float*>(a.total_weight.data) : nullptr, mean);
}

// How many chunks are parked: so many that four blocks find room on a multiprocessor.
template <class T>
int parked_chunks(int64_t classes, const polyops_context* ctx) {
  constexpr int64_t kChunk = sizeof(Quad<T>) * kRows<T> * kPixelThreads;
  const int64_t room = shared_each(ctx, 4) / kChunk;
  const int64_t chunks = (classes + kRows<T> - 1) / kRows<T> - 1;
  return static_cast<int>(chunks < room ? chunks : room);
}

// How a gradient is computed: by walking over what threads hold or park, by tiles, whose threads
// for the same pixels are so many, by channels_last.
enum class Way { kWalk, kTile, kTileOfFewer, kRun };

template <class T>
Way way_of(const polyops_tensor& src, const polyops_tensor& grad, const polyops_context* ctx) {
  if (is_run<T>(src, ctx)) return Way::kRun;
  const auto behind = [](const polyops_tensor& t) {
    return reinterpret_cast<uintptr_t>(t.data) % 16;
  };
  // Of a single pixel any stride is contiguous.
  const bool planes = src.strides[2] == 1 && polyops_is_contiguous(&src) != 0;
  if (!planes || behind(src) != behind(grad)) return Way::kWalk;
  const int group = group_of<T>(src, ctx);
  return group == 0 ? Way::kWalk : group == kPixelThreads ? Way::kTile : Way::kTileOfFewer;
}

template <class T>
int launch_gradients(const PixelsBackwardCall<T>& call, Way way, const polyops_tensor& src,
                     const polyops_context* ctx) {
  switch (way) {
    case Way::kTile:
      return gpu::launch(cross_entropy_tile_backward<T, kPixelThreads>,
                         tile_shape<T, kPixelThreads>(src), ctx, call);
    case Way::kTileOfFewer:
      return gpu::launch(cross_entropy_tile_backward<T, kFewer<T>>, tile_shape<T, kFewer<T>>(src),
                         ctx, call);
    case Way::kRun:
      return gpu::launch(cross_entropy_run_backward<T>, run_shape<T>(src), ctx, call);
    case Way::kWalk:
      break;
  }
  const bool weighted = call.spread != 0 && call.weights.data != nullptr;
  const size_t parked = sizeof(Quad<T>) * kRows<T> * kPixelThreads * call.parked;
  return gpu::launch(
      weighted ? cross_entropy_pixels_backward<T, true> : cross_entropy_pixels_backward<T, false>,
      {pixel_blocks(src), kPixelThreads, parked}, ctx, call);
}

template <class T>
int launch_pixels_backward(const polyops_cross_entropy_backward_args& a,
                           const polyops_context* ctx) {
  const int64_t classes = a.src.sizes[1];
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const bool weighted = a.label_smoothing != 0 && polyops_is_present(&a.weight) != 0;
  const Way way = weighted ? Way::kWalk : way_of<T>(a.src, a.grad_src, ctx);
  // In channels_last, neighbours' scores of four bytes would be in the same banks.
  const bool read_as_quads = way == Way::kRun ? sizeof(T) == 2 : has_quads<T>(a.src);
  const int pixels = way == Way::kTileOfFewer ? kFewer<T> * kQuad : kTile;
  const PixelsBackwardCall<T> call = {
      scores_of<T>(a.src),
      tiling_of(a.src, read_as_quads && has_quads<T>(a.grad_src), pixels),
      static_cast<const T*>(a.grad_dst.data),
      step_of(a.grad_dst, a.reduction),
      targets_of(a.target, a.ignore_index, classes),
      weights_of<T>(a.weight),
      mean ? static_cast<const float*>(a.total_weight.data) : nullptr,
      static_cast<float>(1 - a.label_smoothing),
      static_cast<float>(a.label_smoothing / classes),
      static_cast<T*>(a.grad_src.data),
      parked_chunks<T>(classes, ctx)};
  return launch_gradients<T>(call, way, a.src, ctx);
}

// What both directions ask of their arguments.
template <class Args>
const char* declined(const Args& a, const polyops_tensor& value) {
  if (a.src.rank != 3) return "shape";
  if (const char* reason = unsupported(a, value)) return reason;
  if (a.src.sizes[1] > kMostPixelClasses) return "classes";
  return polyops_is_present(&a.stats) != 0 ? "stats" : nullptr;
}

const char* forward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_cross_entropy_args*>(data);
  if (const char* reason = declined(a, a.dst)) return reason;
  const bool counted = polyops_is_present(&a.total_weight) != 0;
  return counted && !is_float(a.total_weight, 1) ? "total weight" : nullptr;
}

size_t forward_scratch(const void* data, int32_t) {
  const auto& a = *static_cast<const polyops_cross_entropy_args*>(data);
  if (a.reduction == POLYOPS_NLL_LOSS_NONE) return 0;
  return static_cast<size_t>(pixel_blocks(a.src)) * 2 * sizeof(float);
}

int forward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_cross_entropy_args*>(data);
  return with_type(a.src.dtype, [&]<class T>() { return launch_pixels<T>(a, ctx); });
}

const char* backward_supports(const void* data) {
  const auto& a = *static_cast<const polyops_cross_entropy_backward_args*>(data);
  if (const char* reason = declined(a, a.grad_dst)) return reason;
  if (a.reduction == POLYOPS_NLL_LOSS_MEAN && !is_float(a.total_weight, 1)) return "total weight";
  if (a.grad_src.dtype != a.src.dtype) return "dtype";
  return polyops_is_contiguous(&a.grad_src) != 0 ? nullptr : "layout";
}

int backward(const void* data, const polyops_context* ctx) {
  const auto& a = *static_cast<const polyops_cross_entropy_backward_args*>(data);
  return with_type(a.src.dtype, [&]<class T>() { return launch_pixels_backward<T>(a, ctx); });
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(cross_entropy_pixels,
                    POLYOPS_GPU_KERNEL("cross_entropy", "cross_entropy_pixels", forward_supports,
                                       forward_scratch, forward),
                    POLYOPS_GPU_KERNEL("cross_entropy_backward", "cross_entropy_pixels_backward",
                                       backward_supports, nullptr, backward))
