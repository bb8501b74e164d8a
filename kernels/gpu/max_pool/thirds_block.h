// What a block of thirds.h does with its threads' squares of windows.
#ifndef POLYOPS_GPU_MAX_POOL_THIRDS_BLOCK_H_
#define POLYOPS_GPU_MAX_POOL_THIRDS_BLOCK_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/tap.h"
#include "span.h"

namespace polyops::gpu {
namespace {

constexpr int kThirdsThreads = 128;
constexpr int kSquare = 9;  // windows

// Planes that follow each other, of n: so many that as many as run at once go through whole rounds
// of them, or a little less.
inline int round_frames(int64_t n, int64_t at_once) {
  constexpr int64_t kMost = 8;  // where that makes one round
  return static_cast<int>(divide_up(n, at_once * divide_up(n, at_once * kMost)));
}

// A block has some images side by side, and goes through frames of them: of a volume its own, of
// planes the next ones.
struct Thirds {
  int images, side_by_side, frames;
  int high, wide;
  Division of_image, of_row;    // squares
  Division rows;                // of elements
  int index_packs, grad_packs;  // of what arrives as a run, wherever it begins
  int cells;                    // a plane's sums, and those around them, which nobody looks at

  GPU_DEVICE int plane() const { return high * wide; }
  GPU_DEVICE int pitch() const { return wide + 2; }
};

// kSlots: the frames that windows of one reach.
template <class T, int kSlots>
class ThirdsBlock {
 public:
  GPU_DEVICE ThirdsBlock(const LargestGradient<T>& op, const Thirds& s, Words* memory)
      : op_(op), s_(s) {
    const int planes = kSlots > 1 ? s.side_by_side : 1;  // that arrive on their own
    indices_ = reinterpret_cast<int64_t*>(memory);
    grads_ = reinterpret_cast<T*>(memory + planes * s.index_packs);
    sums_ = reinterpret_cast<float*>(memory + planes * (s.index_packs + s.grad_packs));
    auto image = static_cast<uint32_t>(thread_id());
    auto row = take_remainder(s.of_image, &image);
    column_ = static_cast<int>(take_remainder(s.of_row, &row)) * 3;
    row_ = static_cast<int>(row) * 3;
    const bool one = static_cast<int>(image) < s.side_by_side;
    image_ = one ? static_cast<int>(image) : 0;
    rows_ = one ? s.high - row_ : 0;
    columns_ = s.wide - column_;
  }

  // And a place of each thread's own behind the sums, which is written to in vain.
  GPU_DEVICE void clear() const {
    for (int i = thread_id(); i < all_sums() + kThirdsThreads; i += kThirdsThreads) sums_[i] = 0;
  }

  GPU_DEVICE void fetch(int frame) const {
    const int images = count(frame), plane = s_.plane();
    const T* grads = op_.grad_dst + first(frame);
    const int64_t* indices = op_.indices + first(frame);
    if constexpr (kSlots == 1) {
      fetch_run(indices, images * plane, indices_);
      fetch_run(grads, images * plane, grads_);
    } else {
      const Own own(*this);
      const int i = own.image, n = own.thread < own.threads && i < images ? plane : 0;
      fetch_run(indices + i * step(), n, indices_ + i * (s_.index_packs * 2), own.threads,
                own.thread);
      fetch_run(grads + i * step(), n, grads_ + i * (s_.grad_packs * kPack<T>), own.threads,
                own.thread);
    }
    close_copies();
  }

  // What the square's windows give, and to which sums. A window beside the image is read as what
  // lies there, for nothing.
  GPU_DEVICE void look(int frame, const int (&slots)[kSlots], float (&gives)[kSquare],
                       int (&to)[kSquare]) const {
    const int rows = image_ < count(frame) ? rows_ : 0, plane = s_.plane();
    const int window = row_ * s_.wide + column_;
    const T* const from = op_.grad_dst + first(frame) + (kSlots > 1 ? image_ * step() : 0);
    const int64_t* const at = op_.indices + (from - op_.grad_dst);
    const int before = kSlots > 1 ? 0 : image_ * plane;  // of the run that has arrived
    const int64_t* const indices =
        indices_ + ((kSlots > 1 ? image_ * (s_.index_packs * 2) : before) + misplaced(at) + window);
    const T* const grads = grads_ + ((kSlots > 1 ? image_ * (s_.grad_packs * kPack<T>) : before) +
                                     misplaced(from) + window);
    // The place before the first window's, in all dimensions.
    const int corner = (kSlots > 1 ? (frame - 1) * plane : 0) + window - s_.wide - 1;
    const int sum = image_ * (kSlots * s_.cells) + row_ * s_.pitch() + column_;
    const int none = all_sums() + thread_id();
#pragma unroll
    for (int k = 0; k < kSquare; ++k) {
      const int r = k / 3, c = k % 3, i = r * s_.wide + c;
      const HalfPack index = *reinterpret_cast<const HalfPack*>(indices + i);
      gives[k] = widen(grads[i]);
      const bool is_place = index.w[1] == 0 && static_cast<int32_t>(index.w[0]) >= 0;
      const bool good = is_place && r < rows && c < columns_;
      const int cell = sum + r * s_.pitch() + c;
      to[k] = sum_of(index.w[0] - static_cast<uint32_t>(corner + i), slots, cell, good, none);
    }
  }

  GPU_DEVICE void add(const float (&gives)[kSquare], const int (&to)[kSquare]) const {
#pragma unroll
    for (int k = 0; k < kSquare; ++k) {
      sums_[to[k]] += gives[k];
      barrier();
    }
  }

  // kWide neighbours at a time; the sums are 0 afterwards.
  template <int kWide>
  GPU_DEVICE void put(int frame, int slot) const {
    const Own own(*this);
    if (own.thread >= own.threads || own.image >= count(frame)) return;
    T* const out = op_.grad_src + first(frame) + own.image * step();
    float* const sums = sums_ + (slot + s_.pitch() + 1 + own.image * (kSlots * s_.cells));
    const int plane = s_.plane();
    for (int e = own.thread * kWide; e < plane; e += own.threads * kWide) {
      const auto row = static_cast<int>(s_.rows.quotient(static_cast<uint32_t>(e)));
      float* const from = sums + (e + 2 * row);
      float x[kWide];
#pragma unroll
      for (int j = 0; j < kWide; ++j) x[j] = from[j], from[j] = 0;
      Tap<T, kWide>::store(out + e, x);
    }
  }

 private:
  // What a thread fetches of and stores to: of several images each has its own threads.
  struct Own {
    int image, threads, thread;

    GPU_DEVICE explicit Own(const ThirdsBlock& block)
        : image(block.image_), threads(static_cast<int>(block.s_.of_image.divisor)) {
      if (block.s_.side_by_side == 1) image = 0, threads = kThirdsThreads;
      thread = thread_id() - image * threads;
    }
  };
  // The block's first image of a frame, of all.
  GPU_DEVICE int64_t first_image(int frame) const {
    const int64_t group = kSlots > 1 ? block_id() : block_id() * s_.frames + frame;
    return group * s_.side_by_side;
  }
  GPU_DEVICE int count(int frame) const {
    const int64_t rest = s_.images - first_image(frame);
    return rest < s_.side_by_side ? static_cast<int>(rest) : s_.side_by_side;
  }
  // Where its frame begins, and how far behind it the next image's does.
  GPU_DEVICE int64_t first(int frame) const {
    if constexpr (kSlots == 1) return first_image(frame) * s_.plane();
    return first_image(frame) * step() + frame * s_.plane();
  }
  GPU_DEVICE int step() const { return kSlots > 1 ? s_.frames * s_.plane() : s_.plane(); }
  GPU_DEVICE int all_sums() const { return s_.side_by_side * kSlots * s_.cells; }

  // beyond: how far a place is behind the first one of a window, whose sum that is in its slot;
  // none: what the window has if it does not reach that place.
  GPU_DEVICE int sum_of(uint32_t beyond, const int (&slots)[kSlots], int sum, bool good,
                        int none) const {
    if constexpr (kSlots > 1) {
      const auto plane = static_cast<uint32_t>(s_.plane());
      const bool second = beyond >= plane, third = beyond >= 2 * plane;
      good = good && beyond < 3 * plane;
      sum += third ? slots[2] : second ? slots[1] : slots[0];
      beyond -= third ? 2 * plane : second ? plane : 0;
    }
    const auto wide = static_cast<uint32_t>(s_.wide);
    const uint32_t row = beyond >= 2 * wide ? 2 : beyond >= wide ? 1 : 0;
    good = good && beyond - row * wide <= 2;
    return good ? sum + static_cast<int>(beyond + 2 * row) : none;
  }

  const LargestGradient<T>& op_;
  const Thirds& s_;
  int64_t* indices_;
  T* grads_;
  float* sums_;
  int image_, row_, column_;  // of the first window
  int rows_, columns_;        // from it on
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_THIRDS_BLOCK_H_
