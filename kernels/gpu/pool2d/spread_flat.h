// spread.h where rows of the image end within a sector of memory, which two accesses would then
// share: threads have packs of the whole gradient, one behind the other. Rows are whole windows, so
// that windows of all rows follow each other in memory, too, and a pack has one or two of them.
// Bound: memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL2D_SPREAD_FLAT_H_
#define POLYOPS_GPU_POOL2D_SPREAD_FLAT_H_

#include <cstdint>

#include "average.h"
#include "axis.h"
#include "division.h"
#include "gpu.h"
#include "layout.h"
#include "spread.h"
#include "tap.h"

namespace polyops::gpu {
namespace {

constexpr int kFlatPacks = 4;  // of a thread
constexpr int kSectorBytes = 32;
constexpr int64_t kLargeBand = 128;  // packs, from which on spread_bands.h is as fast

struct SpreadFlat {
  uint32_t packs;
  Division wide, columns, high;  // a window, windows of a row, rows of a window
};

template <class T>
GPU_KERNEL(kPoolThreads)
pool2d_spread_flat(AverageGradient<T> op, SpreadFlat s) {
  await_earlier();
  const auto first = static_cast<uint32_t>(block_id() * (kFlatPacks * kPoolThreads)) +
                     static_cast<uint32_t>(thread_id());
  T grads[kFlatPacks][2];
  int own[kFlatPacks];  // elements that the first window has
#pragma unroll
  for (int k = 0; k < kFlatPacks; ++k) {
    const uint32_t pack = first + k * kPoolThreads;
    uint32_t row = (pack < s.packs ? pack : 0) * kPack<T>;
    own[k] = static_cast<int>(s.wide.divisor - take_remainder(s.wide, &row));
    const uint32_t column = take_remainder(s.columns, &row);
    const bool is_last = take_remainder(s.high, &row) + 1 == s.high.divisor;  // of its window's
    const uint32_t window = row * s.columns.divisor + column;
    uint32_t next = window + 1;
    if (column + 1 == s.columns.divisor && !is_last) next -= s.columns.divisor;
    if (own[k] >= kPack<T>) next = window;
    grads[k][0] = op.grad_dst[window];
    grads[k][1] = op.grad_dst[next];
  }
#pragma unroll
  for (int k = 0; k < kFlatPacks; ++k) {
    const uint32_t pack = first + k * kPoolThreads;
    const float one = widen(grads[k][0]) * op.share, other = widen(grads[k][1]) * op.share;
    float x[kPack<T>];
#pragma unroll
    for (int j = 0; j < kPack<T>; ++j) x[j] = j < own[k] ? one : other;
    if (pack < s.packs) Tap<T, kPack<T>>::store(op.grad_src + pack * kPack<T>, x);
  }
}

// Of windows that lie side by side. Whether it was launched, and what that returned.
template <class T>
bool launch_spread_flat(const AverageGradient<T>& op, const Images& images, const Axis& high,
                        const Axis& wide, const polyops_context* ctx, int* status) {
  const int64_t count = images.count * high.in * wide.in;
  if (wide.in % kPack<T> != 0 && int64_t{wide.in} * high.size >= kLargeBand * kPack<T>)
    return false;
  const bool whole = high.out * high.size == high.in && wide.out * wide.size == wide.in;
  if (!whole || wide.size < kPack<T> || count % kPack<T> != 0 ||
      reinterpret_cast<uintptr_t>(op.grad_src) % 16 != 0 ||
      wide.in * int64_t{sizeof(T)} % kSectorBytes == 0) {
    return false;
  }
  SpreadFlat s;
  s.packs = static_cast<uint32_t>(count / kPack<T>);
  s.wide = Division(static_cast<uint32_t>(wide.size));
  s.columns = Division(static_cast<uint32_t>(wide.out));
  s.high = Division(static_cast<uint32_t>(high.size));
  const int64_t blocks = divide_up(s.packs, kFlatPacks * kPoolThreads);
  *status = gpu::launch(pool2d_spread_flat<T>, {blocks, kPoolThreads}, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_SPREAD_FLAT_H_
