// spread.h where rows of the image are no whole packs. All rows of a band, those of one row of
// windows, are the same, and the band is a run of memory: a team puts the row into shared memory so
// often that it begins at a pack again, and stores the band from there, 16 bytes per access. Bound:
// memory, the gradients once each.
#ifndef POLYOPS_GPU_POOL2D_SPREAD_BANDS_H_
#define POLYOPS_GPU_POOL2D_SPREAD_BANDS_H_

#include <cstdint>
#include <numeric>

#include "average.h"
#include "axis.h"
#include "division.h"
#include "gpu.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

constexpr int kBandLanes = 64;  // of a team
constexpr int kBandTeams = kPoolThreads / kBandLanes;
constexpr int64_t kMostRowsBytes = 8 << 10;  // of a team's rows

struct SpreadBands {
  uint32_t count;
  Division bands;   // of a plane
  Division column;  // elements of a row
  Division packs;   // of the rows in shared memory
};

// What the row at that place in memory has there.
template <class T>
GPU_DEVICE T share_at(const AverageGradient<T>& op, const T* grads, int column, const Axis& wide) {
  const auto window = static_cast<int>(wide.stride.quotient(static_cast<uint32_t>(column)));
  return narrow<T>(grads != nullptr && window < wide.out ? widen(grads[window]) * op.share : 0.0f);
}

template <class T>
GPU_KERNEL(kPoolThreads)
pool2d_spread_bands(AverageGradient<T> op, SpreadBands b, Axis high, Axis wide) {
  await_earlier();
  GPU_DYNAMIC_SHARED(T, memory);
  const int team = thread_id() / kBandLanes, lane = thread_id() % kBandLanes;
  const auto band = static_cast<uint32_t>(block_id()) * kBandTeams + static_cast<uint32_t>(team);
  const int held = static_cast<int>(b.packs.divisor) * kPack<T>;
  T* const rows = memory + team * held;
  uint32_t image = band;
  const int row = static_cast<int>(take_remainder(b.bands, &image));
  const int top = row * high.size, below = top + high.size;
  const int end_row = below < high.in ? below : high.in;
  T* const out = op.grad_src + int64_t{image} * op.src_image + top * wide.in;
  const int shift = misplaced(out), end = shift + (end_row - top) * wide.in;
  if (band < b.count) {
    const T* grads =
        row < high.out ? op.grad_dst + int64_t{image} * op.dst_image + row * wide.out : nullptr;
    for (int i = lane; i < held; i += kBandLanes) {
      // By so many rows more, a place before the band is one of a row, too.
      uint32_t place = static_cast<uint32_t>(i - shift + kPack<T> * wide.in);
      rows[i] = share_at(op, grads, static_cast<int>(take_remainder(b.column, &place)), wide);
    }
  }
  barrier();
  if (band >= b.count) return;
  for (int at = lane * kPack<T>; at < end; at += kBandLanes * kPack<T>) {
    auto pack = static_cast<uint32_t>(at / kPack<T>);
    const T* from = rows + take_remainder(b.packs, &pack) * kPack<T>;
    if (at >= shift && at + kPack<T> <= end) {
      store_words(out - shift + at, load_words(from));
      continue;
    }
#pragma unroll 1
    for (int j = 0; j < kPack<T>; ++j) {
      if (at + j >= shift && at + j < end) (out - shift)[at + j] = from[j];
    }
  }
}

// Of windows that lie side by side, where rows are no whole packs and a band has several. Whether
// it was launched, and what that returned.
template <class T>
bool launch_spread_bands(const AverageGradient<T>& op, const Images& images, const Axis& high,
                         const Axis& wide, const polyops_context* ctx, int* status) {
  if (wide.in % kPack<T> == 0 || high.size < 3) return false;
  const int64_t held = std::lcm(int64_t{wide.in}, int64_t{kPack<T>});
  const int64_t bytes = held * int64_t{sizeof(T)}, bands = (high.in + high.size - 1) / high.size;
  if (bytes > kMostRowsBytes || held > int64_t{wide.in} * high.size) return false;
  SpreadBands b;
  b.count = static_cast<uint32_t>(images.count * bands);
  b.bands = Division(static_cast<uint32_t>(bands));
  b.column = Division(static_cast<uint32_t>(wide.in));
  b.packs = Division(static_cast<uint32_t>(held / kPack<T>));
  const int64_t blocks = (int64_t{b.count} + kBandTeams - 1) / kBandTeams;
  *status = gpu::launch(pool2d_spread_bands<T>,
                        {blocks, kPoolThreads, static_cast<size_t>(kBandTeams * bytes)}, ctx, op, b,
                        high, wide);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_POOL2D_SPREAD_BANDS_H_
