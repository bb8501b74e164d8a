// The gradient of largest elements of windows that lie side by side, all of one size, in images
// whose channels lie next to each other: a thread goes down some of a window's rows in one column,
// for a pack of channels; what the window gives stays in registers, and each element is written
// once. Bound: memory, the image's gradient once.
#ifndef POLYOPS_GPU_MAX_POOL_APART_H_
#define POLYOPS_GPU_MAX_POOL_APART_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/layout.h"
#include "volume.h"

namespace polyops::gpu {
namespace {

// Of a pack of channels what a window gives, each in its part of a word, and to which places.
template <class T>
struct Given {
  static constexpr int kWide = kPack<T>, kOfWord = kWide / 4;
  uint32_t parts[kWide];
  int at[kWide];

  GPU_DEVICE explicit Given(const typename LargestGradient<T>::template Entry<kWide>& window) {
    float x[kWide];
    window.grad.get(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) x[j] += 0.0f;  // as a sum of one, which is no -0
    const Words words = pack<T>(x);
#pragma unroll
    for (int j = 0; j < kWide; ++j) {
      const uint32_t word = words.w[j / kOfWord];
      parts[j] = kOfWord == 1 ? word : j % 2 == 0 ? word & 0xffff : word & 0xffff0000;
      at[j] = window.at[j];
    }
  }
  GPU_DEVICE Words of(int place) const {
    Words words = {};
#pragma unroll
    for (int j = 0; j < kWide; ++j) words.w[j / kOfWord] |= at[j] == place ? parts[j] : 0;
    return words;
  }
};

template <class T>
GPU_KERNEL(kPoolThreads)
volume_apart(LargestGradient<T> op, Grid grid, int channels, Division frames,
             Axes<AdaptiveAxis> axes) {
  await_earlier();
  constexpr int kWide = kPack<T>;
  const PlaceInVolume at(grid, frames, axes.high.in);
  if (!at.inside) return;
  const int window = axes.result(axes.deep.first_window(at.plane), axes.high.first_window(at.begin),
                                 axes.wide.first_window(at.column));
  typename LargestGradient<T>::template Entry<kWide> entry;
  op.load(&entry, at.image * op.dst_image + at.group * kWide + window * channels);
  const Given<T> given(entry);
  int place = axes.place(at.plane, at.begin, at.column);
  T* out = op.grad_src + at.image * op.src_image + at.group * kWide + place * channels;
#pragma unroll 1
  for (int row = at.begin; row < at.end; ++row) {
    store_words(out, given.of(place));
    place += axes.wide.in;
    out += axes.wide.in * channels;
  }
}

inline bool lie_apart(const Axes<AdaptiveAxis>& axes) {
  return axes.deep.in % axes.deep.out == 0 && axes.high.in % axes.high.out == 0 &&
         axes.wide.in % axes.wide.out == 0;
}

// Of windows that lie apart. As many rows to a thread as leave the device full twice over.
template <class T>
int launch_apart(const LargestGradient<T>& op, const Images& images, const Axes<AdaptiveAxis>& axes,
                 const polyops_context* ctx) {
  const Images all = {images.count * axes.deep.in, images.channels};
  int rows = axes.high.in / axes.high.out;
  const auto grid = [&] { return make_grid(all, kPack<T>, axes.wide.in, axes.high.in, rows); };
  while (rows % 2 == 0 && grid().threads < 2 * kThreadsAtOnce * multiprocessors(ctx)) rows /= 2;
  return gpu::launch(volume_apart<T>, grid().shape(), ctx, op, grid(), images.channels,
                     Division(static_cast<uint32_t>(axes.deep.in)), axes);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_APART_H_
