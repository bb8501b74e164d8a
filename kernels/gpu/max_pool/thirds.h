// The gradient of largest elements, of windows of 3 at stride 1 that are as many as the elements:
// windows whose rows and columns are equal modulo 3 share no element, so each of a block's threads
// has a square of 3 by 3 of them, and adds what they give to sums in shared memory, the same one of
// its square as all others at a time. Of volumes a block goes along the depth, with the sums of
// three frames; what the next frame's windows have arrives meanwhile. Nobody adds to what another
// one is writing, and the order is the same each time. Frames of 16 bits of 17 to 32 squares go by
// teams of a wave, thirds_wave.h. Bound: memory, gradients and indices once.
#ifndef POLYOPS_GPU_MAX_POOL_THIRDS_H_
#define POLYOPS_GPU_MAX_POOL_THIRDS_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "thirds_block.h"
#include "thirds_wave.h"

namespace polyops::gpu {
namespace {

constexpr int64_t kLeastThirds = 2;       // volumes per multiprocessor
constexpr int64_t kThirdsBlocks = 5;      // per multiprocessor, if there is as much to do
constexpr int64_t kMostThirdsFrames = 4;  // of planes one after the other

// At once on a multiprocessor, by registers.
template <class T, int kSlots>
constexpr int kThirdsAtOnce = kSlots > 1 || sizeof(T) > 2 ? 8 : 10;

template <class T, int kSlots, int kWide>
GPU_KERNEL(kThirdsThreads, kThirdsAtOnce<T, kSlots>)
pool_thirds(LargestGradient<T> op, Thirds s) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  const ThirdsBlock<T, kSlots> block(op, s, memory);
  int slots[kSlots];  // of the frame before, of this one, and of the next
#pragma unroll
  for (int k = 0; k < kSlots; ++k) slots[k] = (k + kSlots - 1) % kSlots * s.cells;
  block.fetch(0);
  block.clear();
#pragma unroll 1
  for (int frame = 0; frame < s.frames; ++frame) {
    wait_copies<0>();
    barrier();
    float gives[kSquare];
    int to[kSquare];
    block.look(frame, slots, gives, to);
    barrier();
    if (frame + 1 < s.frames) block.fetch(frame + 1);
    block.add(gives, to);
    const int done = kSlots == 1 ? frame : frame - 1;
    if (done >= 0) block.template put<kWide>(done, slots[0]);
    if constexpr (kSlots > 1) {
      const int before = slots[0];
      slots[0] = slots[1], slots[1] = slots[2], slots[2] = before;
    }
  }
  if constexpr (kSlots > 1) block.template put<kWide>(s.frames - 1, slots[0]);
}

// Whether it was launched, and what that returned. kSlots: 3, or 1 of images without depth; deep:
// its frames.
template <int kSlots, class T>
bool launch_thirds(const LargestGradient<T>& op, int64_t images, int deep, const Axis& high,
                   const Axis& wide, const polyops_context* ctx, int* status) {
  if (!keeps_size(high) || !keeps_size(wide) || high.in < 3 || wide.in < 3) return false;
  const int64_t rows = (high.in + 2) / 3, columns = (wide.in + 2) / 3, squares = rows * columns;
  const int64_t processors = multiprocessors(ctx);
  if (squares > kThirdsThreads || images < kLeastThirds * processors) return false;
  if constexpr (sizeof(T) == 2) {
    if (launch_team_thirds<kSlots>(op, images, deep, high, wide, ctx, status)) return true;
  }
  const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
  const auto some = [](int64_t n) { return n < 1 ? int64_t{1} : n; };
  const int64_t enough = kThirdsBlocks * processors;
  const int64_t beside = least(kThirdsThreads / squares, some(images / enough));
  const int64_t groups = divide_up(images, beside);
  Thirds s = {};
  s.images = static_cast<int>(images);
  s.side_by_side = static_cast<int>(beside);
  if (kSlots > 1) {
    s.frames = deep;
  } else if (sizeof(T) > 2) {  // whose one round takes 36.8 us for 34.7 of 64x512x14x14
    s.frames = static_cast<int>(least(kMostThirdsFrames, some(groups / enough)));
  } else {
    s.frames = round_frames(groups, kThirdsAtOnce<T, kSlots> * processors);
  }
  s.high = high.in;
  s.wide = wide.in;
  s.of_image = Division(static_cast<uint32_t>(squares));
  s.of_row = Division(static_cast<uint32_t>(columns));
  s.rows = Division(static_cast<uint32_t>(wide.in));
  const int64_t run = int64_t{high.in} * wide.in * (kSlots > 1 ? 1 : beside);
  s.index_packs = static_cast<int>(run / 2 + 1);
  s.grad_packs = static_cast<int>(run / kPack<T> + 2);
  s.cells = (high.in + 2) * (wide.in + 2);
  const int64_t bytes = (kSlots > 1 ? beside : 1) * int64_t{16} * (s.index_packs + s.grad_packs) +
                        (beside * kSlots * s.cells + kThirdsThreads) * int64_t{sizeof(float)};
  const int64_t blocks = kSlots > 1 ? groups : divide_up(groups, s.frames);
  const LaunchShape shape = {blocks, kThirdsThreads, static_cast<size_t>(bytes)};
  const bool pairs =
      wide.in % 2 == 0 && reinterpret_cast<uintptr_t>(op.grad_src) % (2 * sizeof(T)) == 0;
  *status = pairs ? gpu::launch(pool_thirds<T, kSlots, 2>, shape, ctx, op, s)
                  : gpu::launch(pool_thirds<T, kSlots, 1>, shape, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_THIRDS_H_
