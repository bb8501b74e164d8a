// As thirds.h, of frames of which each of a wave's lanes has one square at most, of 16 bits: a team
// of lanes has images of its own and waits for nobody else. Windows arrive in registers while those
// of the frame before are added, and lie in shared memory as what they give and to which sum, in
// one word. On an H200, bfloat16: 64x512x14x14 by blocks 30.1 us, by teams 25.8, 8x480x8x14x14 28.4
// and 24.6. Lost: float32 (34.6 and 36.5), several squares to a lane (8x192x16x28x28 81 and 99).
#ifndef POLYOPS_GPU_MAX_POOL_THIRDS_WAVE_H_
#define POLYOPS_GPU_MAX_POOL_THIRDS_WAVE_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "pool2d/tap.h"
#include "store.h"
#include "thirds_block.h"

namespace polyops::gpu {
namespace {

constexpr int kTeamThreads = 64;
constexpr int kTeam = 32;
constexpr int kTeamBlocks = 16;                // at once on a multiprocessor, by registers
constexpr int kTeamPairs = (kSquare + 1) / 2;  // of a lane

struct TeamThirds {
  int images, frames;  // frames: of a volume its own, of planes the next ones
  int high, wide;
  Division of_row;          // squares
  Division of_plane, rows;  // elements
  int windows, cells;       // a frame's windows, and its sums with those around them
  int reach;                // places behind a window's first one, up to its last one's

  GPU_DEVICE int plane() const { return high * wide; }
  GPU_DEVICE int pitch() const { return wide + 2; }
};

// What is added to sums comes with the sum's place, in bytes, in the lower half of a word. A window
// that gives nothing has a mask of 0 in the upper one, and adds 0 to its own place.
constexpr uint32_t kGives = 0xffff0000;

// kSlots: the frames that windows of one reach. Elements are read and written in pairs.
template <class T, int kSlots>
class ThirdsTeam {
 public:
  GPU_DEVICE ThirdsTeam(const LargestGradient<T>& op, const TeamThirds& s, char* memory)
      : op_(op), s_(s) {
    constexpr int kTeams = kTeamThreads / kTeam;
    const int team = thread_id() / kTeam, words = s.windows + kSlots * s.cells;
    lane_ = thread_id() % kTeam;
    team_ = block_id() * kTeams + team;
    windows_ = reinterpret_cast<uint32_t*>(memory) + team * words;
    sums_ = reinterpret_cast<char*>(windows_ + s.windows);
    reached_ = reinterpret_cast<uint32_t*>(memory) + kTeams * words;
    auto row = static_cast<uint32_t>(lane_);
    const int column = static_cast<int>(take_remainder(s.of_row, &row)) * 3;
    rows_ = s.high - static_cast<int>(row) * 3;
    columns_ = s.wide - column;
    square_ = static_cast<int>(row) * 3 * s.wide + column;
#pragma unroll
    for (int k = 0; k < kTeamPairs; ++k) {
      auto of = static_cast<uint32_t>(element(k));
      const auto at = static_cast<int>(take_remainder(s.rows, &of));
      pairs_[k].sum = kBytes * static_cast<uint32_t>(static_cast<int>(of) * s.pitch() + at + 1);
    }
  }

  // By the whole block.
  GPU_DEVICE void clear() const {
    for (int i = lane_; i < kSlots * s_.cells; i += kTeam) reinterpret_cast<float*>(sums_)[i] = 0;
    for (int i = thread_id(); i < s_.reach; i += kTeamThreads) {
      auto frames = static_cast<uint32_t>(i);
      uint32_t rows = take_remainder(s_.of_plane, &frames);
      const auto column = static_cast<int>(take_remainder(s_.rows, &rows));
      const int frame = static_cast<int>(frames), row = static_cast<int>(rows);
      const bool good = row < 3 && column < 3;
      const int to = frame * s_.cells + (good ? row * s_.pitch() + column : s_.pitch() + 1);
      reached_[i] = (good ? kGives : 0) | kBytes * static_cast<uint32_t>(to);
    }
  }

  // The frame's windows are on their way.
  GPU_DEVICE void fetch(int frame) {
    const int64_t first = first_of(frame);
    const int n = elements(frame);
#pragma unroll
    for (int k = 0; k < kTeamPairs; ++k) {
      if (element(k) >= n) continue;
      pairs_[k].grads.load(op_.grad_dst + first + element(k));
      pairs_[k].indices = load_words(op_.indices + first + element(k));
    }
  }

  // slot: of the sums of the frame before, in bytes.
  GPU_DEVICE void take(int frame, uint32_t slot) const {
    // What is as far behind a corner lies behind the last slot.
    const uint32_t frames = slot == 0 ? 3 : slot == slot_bytes() ? 2 : 1;
    const uint32_t last = frames * static_cast<uint32_t>(s_.plane());
    const int corner = (kSlots > 1 ? (frame - 1) * s_.plane() : 0) - s_.wide - 1;
    const int n = elements(frame);
#pragma unroll
    for (int k = 0; k < kTeamPairs; ++k) {
      if (element(k) >= n) continue;
#pragma unroll
      for (int j = 0; j < 2; ++j) {
        const uint32_t low = pairs_[k].indices.w[2 * j], high = pairs_[k].indices.w[2 * j + 1];
        const uint32_t beyond = low - static_cast<uint32_t>(corner + element(k) + j);
        bool good = high == 0 && beyond < static_cast<uint32_t>(s_.reach);
        // Of planes what is before the first place is beside the image.
        if (kSlots > 1) good = good && static_cast<int32_t>(low) >= 0;
        uint32_t to = kBytes * static_cast<uint32_t>(s_.pitch() + 1);
        if (good) to = reached_[beyond];
        to += pairs_[k].sum + slot + kBytes * static_cast<uint32_t>(j);
        if (kSlots > 1 && good && beyond >= last) to -= kSlots * slot_bytes();
        const uint32_t bytes = j == 0 ? 0x5410 : 0x7610;  // the gradient over ones
        windows_[element(k) + j] = permute_bytes(~uint32_t{0}, pairs_[k].grads.word, bytes) & to;
      }
    }
  }

  GPU_DEVICE void add(int frame) const {
    const int rows = elements(frame) > 0 ? rows_ : 0;
#pragma unroll
    for (int w = 0; w < kSquare; ++w) {
      const int r = w / 3, c = w % 3;
      if (r < rows && c < columns_) {
        const uint32_t window = windows_[square_ + r * s_.wide + c];
        float unused, grad;
        widen2<T>(window, &unused, &grad);
        *reinterpret_cast<float*>(sums_ + (window & ~kGives)) += grad;
      }
      wave_barrier();
    }
  }

  // The sums are 0 afterwards. slot: theirs, in bytes.
  GPU_DEVICE void put(int frame, uint32_t slot) const {
    char* const sums = sums_ + slot + kBytes * static_cast<uint32_t>(s_.pitch() + 1);
    const int64_t first = first_of(frame);
    const int n = elements(frame);
#pragma unroll
    for (int k = 0; k < kTeamPairs; ++k) {
      if (element(k) >= n) continue;
      const HalfPack both = *reinterpret_cast<const HalfPack*>(sums + pairs_[k].sum);
      store_half_pack(sums + pairs_[k].sum, 0, 0);
      const float x[2] = {float_of_bits(both.w[0]), float_of_bits(both.w[1])};
      Tap<T, 2>::store(op_.grad_src + first + element(k), x);
    }
  }

  GPU_DEVICE uint32_t slot_bytes() const { return kBytes * static_cast<uint32_t>(s_.cells); }

 private:
  static constexpr uint32_t kBytes = sizeof(float);
  // sum: the first one that the first window reaches, in bytes.
  struct Pair {
    uint32_t sum;
    Tap<T, 2> grads;
    Words indices;
  };

  GPU_DEVICE int element(int k) const { return (k * kTeam + lane_) * 2; }
  GPU_DEVICE int64_t image(int frame) const {
    return kSlots > 1 ? team_ : team_ * s_.frames + frame;
  }
  GPU_DEVICE int elements(int frame) const { return image(frame) < s_.images ? s_.plane() : 0; }
  GPU_DEVICE int64_t first_of(int frame) const {
    if (kSlots == 1) return image(frame) * s_.plane();
    return image(frame) * (s_.frames * s_.plane()) + frame * s_.plane();
  }

  const LargestGradient<T>& op_;
  const TeamThirds& s_;
  uint32_t* windows_;
  char* sums_;
  uint32_t* reached_;  // of what is as far behind a window's first place, the sum
  int64_t team_;
  int lane_, rows_, columns_, square_;
  Pair pairs_[kTeamPairs];
};

template <class T, int kSlots>
GPU_KERNEL(kTeamThreads, kTeamBlocks)
pool_team_thirds(LargestGradient<T> op, TeamThirds s) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  ThirdsTeam<T, kSlots> team(op, s, reinterpret_cast<char*>(memory));
  const uint32_t step = team.slot_bytes();
  uint32_t slot = kSlots > 1 ? 2 * step : 0;  // of the frame before
  team.fetch(0);
  team.clear();
  barrier();
#pragma unroll 1
  for (int frame = 0; frame < s.frames; ++frame) {
    team.take(frame, slot);
    if (frame + 1 < s.frames) team.fetch(frame + 1);
    wave_barrier();
    team.add(frame);
    const int done = kSlots == 1 ? frame : frame - 1;
    if (done >= 0) team.put(done, slot);
    if (kSlots > 1) slot = slot == 2 * step ? 0 : slot + step;
  }
  if constexpr (kSlots > 1) team.put(s.frames - 1, slot);
}

// Whether it was launched, and what that returned.
template <int kSlots, class T>
bool launch_team_thirds(const LargestGradient<T>& op, int64_t images, int deep, const Axis& high,
                        const Axis& wide, const polyops_context* ctx, int* status) {
  const int64_t columns = (wide.in + 2) / 3, squares = (high.in + 2) / 3 * columns;
  const bool pairs = wide.in % 2 == 0 &&
                     reinterpret_cast<uintptr_t>(op.grad_src) % (2 * sizeof(T)) == 0 &&
                     reinterpret_cast<uintptr_t>(op.grad_dst) % (2 * sizeof(T)) == 0 &&
                     reinterpret_cast<uintptr_t>(op.indices) % 16 == 0;
  // Of fewer squares a block has several images side by side.
  if (squares > kTeam || squares <= kTeam / 2 || !pairs) return false;
  constexpr int kTeams = kTeamThreads / kTeam;
  TeamThirds s = {};
  s.images = static_cast<int>(images);
  s.frames = kSlots > 1 ? deep : round_frames(images, kTeamBlocks * kTeams * multiprocessors(ctx));
  s.high = high.in;
  s.wide = wide.in;
  s.of_row = Division(static_cast<uint32_t>(columns));
  s.of_plane = Division(static_cast<uint32_t>(high.in * wide.in));
  s.rows = Division(static_cast<uint32_t>(wide.in));
  s.windows = (high.in * wide.in + 3) / 4 * 4;
  s.cells = ((high.in + 2) * (wide.in + 2) + 2 + 3) / 4 * 4;
  s.reach = (kSlots - 1) * high.in * wide.in + 2 * wide.in + 3;
  const int64_t teams = kSlots > 1 ? images : divide_up(images, s.frames);
  const int64_t words = kTeams * int64_t{s.windows + kSlots * s.cells} + s.reach;
  const LaunchShape shape = {divide_up(teams, kTeams), kTeamThreads,
                             static_cast<size_t>(words) * sizeof(uint32_t)};
  *status = gpu::launch(pool_team_thirds<T, kSlots>, shape, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_THIRDS_WAVE_H_
