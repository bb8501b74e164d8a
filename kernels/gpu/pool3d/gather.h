// Gradients of averages of contiguous volumes: a thread has kWide neighbours of a row and goes down
// some rows. It gathers from all windows that they are in, each once for all that it covers, so
// that nobody adds to what another one writes; rows of the same windows have the same gradients,
// and are only stored. Bound: memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL3D_GATHER_H_
#define POLYOPS_GPU_POOL3D_GATHER_H_

#include <cstdint>

#include "layout.h"
#include "pool2d/average.h"
#include "pool2d/axis.h"
#include "pool2d/tap.h"

namespace polyops::gpu {
namespace {

template <class T, int kWide, class AnyAxis>
GPU_KERNEL(kPoolThreads, 4)
pool3d_gather(AverageGradient<T> op, Grid grid, Division planes, Division channels, AnyAxis deep,
              AnyAxis high, AnyAxis wide) {
  await_earlier();
  const PlaceInVolume at(grid, planes, high.in);
  if (!at.inside) return;
  const int front = deep.first_window(at.plane), back = deep.windows_end(at.plane);
  const int column = at.column * kWide;
  const int left = wide.first_window(column), right = wide.windows_end(column + kWide - 1);
  auto rest = static_cast<uint32_t>(at.image);
  const T* grads = op.grad_dst + take_remainder(channels, &rest);
  grads += rest * op.dst_image;
  const int apart = static_cast<int>(channels.divisor);
  T* out =
      op.grad_src + at.image * op.src_image + (at.plane * high.in + at.begin) * wide.in + column;
  int top = -1, bottom = -1;
  float x[kWide] = {};
  for (int h = at.begin; h < at.end; ++h, out += wide.in) {
    const int begin = high.first_window(h), after = high.windows_end(h);
    if (begin != top || after != bottom) {
      top = begin;
      bottom = after;
#pragma unroll
      for (int j = 0; j < kWide; ++j) x[j] = 0;
      for (int z = front; z < back; ++z) {
        const float of_plane = op.share * deep.weight(z);
        for (int r = top; r < bottom; ++r) {
          const float of_row = of_plane * high.weight(r);
          const T* line = grads + ((z * high.out + r) * wide.out + left) * apart;
#pragma unroll 1
          for (int c = left; c < right; ++c, line += apart) {
            const float grad = widen(*line) * (of_row * wide.weight(c));
            const int begin = wide.first_inside(c), count = wide.taps_end(c) - begin;
#pragma unroll
            for (int j = 0; j < kWide; ++j) {
              const int tap = column + j - begin;
              if (tap >= 0 && tap < count) x[j] += grad;
            }
          }
        }
      }
    }
    Tap<T, kWide>::store(out, x);
  }
}

// images: of the elements' gradient. channels: that grad_dst has next to each other, op.dst_image
// being of all of them; 1 if it is contiguous.
template <class T, class AnyAxis>
int launch_gather(const AverageGradient<T>& op, const Images& images, int64_t channels,
                  const AnyAxis& deep, const AnyAxis& high, const AnyAxis& wide,
                  const polyops_context* ctx) {
  const auto launch = [&]<int kWide>() {
    const Grid grid = make_grid(ctx, images, 1, wide.in / kWide, high.in, 1);
    return gpu::launch(pool3d_gather<T, kWide, AnyAxis>, grid.shape(), ctx, op, grid,
                       Division(static_cast<uint32_t>(deep.in)),
                       Division(static_cast<uint32_t>(channels)), deep, high, wide);
  };
  if (all_aligned(op.grad_src, nullptr)) {
    if constexpr (kPack<T> == 8) {
      if (wide.in % 8 == 0) return launch.template operator()<8>();
    }
    if (wide.in % 4 == 0) return launch.template operator()<4>();
  }
  return launch.template operator()<1>();
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL3D_GATHER_H_
