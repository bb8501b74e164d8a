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

// Pixels of a block.
template <class T>
int tile_of(const polyops_tensor& src, const polyops_context* ctx) {
  return group_of<T>(src, ctx) == kFewer<T> ? kFewer<T> * kQuad : kTile;
}

// By tiles where classes are few. (Many in tiles of fewer pixels, as backward, which has to hold
// them: 20 % slower on an H200 than walking over them.)
template <class T, Smooth kSmooth>
int launch_losses(const PixelsCall<T>& call, const polyops_tensor& src,
                  const polyops_context* ctx) {
  if (group_of<T>(src, ctx) == kPixelThreads) {
    return gpu::launch(cross_entropy_tile<T, kSmooth>, tile_shape<T, kPixelThreads>(src), ctx,
                       call);
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

// Whether tiles of gradients are stored as tiles of scores are read. Quads are stored as they are,
// each class when it is known: 4 % faster on an H200, of two classes 25 %.
bool are_alike(const polyops_tensor& src, const polyops_tensor& grad, bool quads) {
  const auto behind = [](const polyops_tensor& t) {
    return reinterpret_cast<uintptr_t>(t.data) % 16;
  };
  // Of a single pixel any stride is contiguous.
  const bool planes = src.strides[2] == 1 && polyops_is_contiguous(&src) != 0;
  return !quads && planes && behind(src) == behind(grad);
}

template <class T, bool kWeighted>
int launch_gradients(const PixelsBackwardCall<T>& call, const polyops_tensor& src, bool alike,
                     const polyops_context* ctx) {
  const auto launch_tiles = [&]<int kGroup>() {
    return gpu::launch(alike ? cross_entropy_tile_backward<T, kWeighted, kGroup, true>
                             : cross_entropy_tile_backward<T, kWeighted, kGroup, false>,
                       tile_shape<T, kGroup>(src), ctx, call);
  };
  const size_t parked = sizeof(Quad<T>) * kRows<T> * kPixelThreads * call.parked;
  switch (group_of<T>(src, ctx)) {
    case kPixelThreads:
      return launch_tiles.template operator()<kPixelThreads>();
    case kFewer<T>:
      return launch_tiles.template operator()<kFewer<T>>();
    default:
      return gpu::launch(cross_entropy_pixels_backward<T, kWeighted>,
                         {pixel_blocks(src), kPixelThreads, parked}, ctx, call);
  }
}

template <class T>
int launch_pixels_backward(const polyops_cross_entropy_backward_args& a,
                           const polyops_context* ctx) {
  const int64_t classes = a.src.sizes[1];
  const bool mean = a.reduction == POLYOPS_NLL_LOSS_MEAN;
  const bool quads = has_quads<T>(a.src) && has_quads<T>(a.grad_src);
  const PixelsBackwardCall<T> call = {
      scores_of<T>(a.src),
      tiling_of(a.src, quads, tile_of<T>(a.src, ctx)),
      static_cast<const T*>(a.grad_dst.data),
      step_of(a.grad_dst, a.reduction),
      targets_of(a.target, a.ignore_index, classes),
      weights_of<T>(a.weight),
      mean ? static_cast<const float*>(a.total_weight.data) : nullptr,
      static_cast<float>(1 - a.label_smoothing),
      static_cast<float>(a.label_smoothing / classes),
      static_cast<T*>(a.grad_src.data),
      parked_chunks<T>(classes, ctx)};
  const bool alike = are_alike(a.src, a.grad_src, quads);
  const bool weighted = call.spread != 0 && call.weights.data != nullptr;
  return weighted ? launch_gradients<T, true>(call, a.src, alike, ctx)
                  : launch_gradients<T, false>(call, a.src, alike, ctx);
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
