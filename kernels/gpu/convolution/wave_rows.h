// Planes of rows of whole packs, by waves that slide down them: a lane has a pack of a row, a strip
// of it. Rows come into the wave's memory some steps before they are used, by copies that hold no
// registers and are waited for in the order in which they began: loads into registers share the few
// counters that there are to wait for.
//
// Strips are counted along the rows of one plane after the other. As many as a wave has lanes are a
// group, and a wave takes a run of the rows of all groups, the same number as every other: it
// slides down one group's planes, and goes on at the top of the next one's.
#ifndef POLYOPS_GPU_CONVOLUTION_WAVE_ROWS_H_
#define POLYOPS_GPU_CONVOLUTION_WAVE_ROWS_H_

#include "slide.h"

namespace polyops::gpu {
namespace {

// What waves take.
struct WaveWork {
  Division across, down;  // strips of a row, rows of a plane
  uint32_t strips, blocks;
};

// Calls slide(group, first, rows) for the runs of a wave of the block-th block.
template <class Slide>
GPU_DEVICE void for_runs(const WaveWork& work, int64_t block, Slide slide) {
  const auto lanes = static_cast<uint32_t>(wave_size());
  const uint32_t rows = (work.strips + lanes - 1) / lanes * work.down.divisor;
  const auto of_block = static_cast<uint32_t>(block_threads()) / lanes,
             all = work.blocks * of_block;
  const uint32_t share = (rows + all - 1) / all;
  const uint32_t wave =
      static_cast<uint32_t>(block) * of_block + static_cast<uint32_t>(thread_id()) / lanes;
  uint32_t at = wave * share;
  const uint32_t end = at + share < rows ? at + share : rows;
#pragma unroll 1
  while (at < end) {
    uint32_t group = at;
    const uint32_t first = take_remainder(work.down, &group);
    const uint32_t left = work.down.divisor - first;
    const uint32_t count = left < end - at ? left : end - at;
    slide(group, static_cast<int32_t>(first), static_cast<int32_t>(count));
    at += count;
  }
}

// A lane's strip in a group: the pack-th of a row of the line-th plane.
struct WavePlace {
  bool has, is_first, is_last;  // in its row
  int32_t pack, plane;
  int32_t place;  // in a row of the wave's memory, in packs

  GPU_DEVICE WavePlace(const WaveWork& work, uint32_t group) {
    const auto lanes = static_cast<uint32_t>(wave_size());
    const uint32_t lane = static_cast<uint32_t>(thread_id()) % lanes;
    uint32_t line = group * lanes + lane;
    has = line < work.strips;
    const uint32_t rest = take_remainder(work.across, &line);
    is_first = rest == 0;
    is_last = rest + 1 == work.across.divisor;
    // A pack of zeros lies between lines.
    place = static_cast<int32_t>(1 + lane + line - work.across.quotient(group * lanes));
    pack = has ? static_cast<int32_t>(rest) : 0;
    plane = has ? static_cast<int32_t>(line) : 0;
  }
};

// Computed here, and not again where it is used.
GPU_DEVICE int32_t kept_in_register(int32_t x) {
  auto bits = static_cast<uint32_t>(x);
  forget_bits(&bits);
  return static_cast<int32_t>(bits);
}

// Rows around a wave's strips in the block's memory, kSlots of them. kRoom: packs for 32 lanes,
// with what lies around the lines.
template <int kSlots, int kRoom>
struct WaveRows {
  static constexpr int kWide = kPack<float>;
  static constexpr int kPacks = kSlots * kRoom;  // of 32 lanes
  float* memory;
  int32_t own;     // where the lane's pack is in the first slot
  int32_t beside;  // of the pack beside it that it brings, too; or 0

  // first: of the wave's.
  GPU_DEVICE WaveRows(float* block, int32_t first, const WavePlace& at)
      : memory(block), own(kept_in_register(first + at.place * kWide)) {
    const int lane = thread_id() % wave_size();
    const bool ends = lane == wave_size() - 1;
    beside = kept_in_register(lane == 0 && !at.is_first ? -kWide : ends && !at.is_last ? kWide : 0);
    const Words none = {};
#pragma unroll
    for (int i = 0; i < kSlots; ++i) {
      float* const p = memory + own + i * slot();
      if (at.is_first) *reinterpret_cast<Words*>(p - kWide) = none;
      if (ends && at.is_last) *reinterpret_cast<Words*>(p + kWide) = none;
    }
  }
  // Elements of one.
  GPU_DEVICE static int32_t slot() { return wave_size() / 32 * kRoom * kWide; }
  GPU_DEVICE const float* row(int32_t at) const { return memory + (own + at); }
  // at: of the slot. 0, if there is no such row.
  GPU_DEVICE void fetch(int32_t at, const float* from, bool has) const {
    const int bytes = has ? 16 : 0;
    copy_16_later(memory + (own + at), from, bytes);
    if (beside != 0) copy_16_later(memory + (own + at + beside), from + beside, bytes);
  }
};

inline WaveWork wave_work(const Shape& s, int64_t strips, int64_t across, int64_t blocks) {
  return {Division(static_cast<uint32_t>(across)), Division(static_cast<uint32_t>(s.h.out)),
          static_cast<uint32_t>(strips), static_cast<uint32_t>(blocks)};
}

// Blocks, of so many at once, for so many strips: a wave has some rows at least, as it takes the
// time of some to begin.
inline int64_t wave_blocks(const Shape& s, int64_t strips, int threads, int64_t at_once) {
  constexpr int64_t kLeastRows = 8;
  const int64_t rows = ceil_div(strips, 32) * s.h.out;
  const int64_t most = ceil_div(ceil_div(rows, kLeastRows), threads / 32);
  return most < at_once ? most : at_once;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_WAVE_ROWS_H_
