// What a thread of frames.h does with two columns of 16 bits, in contiguous volumes of even rows:
// it compares both at once, as words.h does; where the largest elements were, 16 bits say, their
// places from the frame before on. NaNs are passed over; where there may be one windows are looked
// through again.
#ifndef POLYOPS_GPU_MAX_POOL_FRAME_WORDS_H_
#define POLYOPS_GPU_MAX_POOL_FRAME_WORDS_H_

#include <cstdint>

#include "frame_columns.h"
#include "gpu.h"
#include "pool2d/largest.h"
#include "pool2d/tap.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

// Of both columns the largest element, and its code.
template <class T>
struct LargestWord {
  uint32_t value = 0, code = 0;

  // What lies behind this one.
  GPU_DEVICE void take(uint32_t x, uint32_t x_code) {
    const uint32_t larger = larger2<T>(x, value);
    value = (x & larger) | (value & ~larger);
    code = (x_code & larger) | (code & ~larger);
  }
  GPU_DEVICE void merge(const LargestWord& next) { take(next.value, next.code); }
};

template <class T>
class FrameWords : public FramesBlock<T, 64, 2> {
  using Block = FramesBlock<T, 64, 2>;
  static constexpr uint32_t kBoth = 0x00010001;

 public:
  using Found = LargestWord<T>;
  static constexpr int kBlocks = 12;  // of a multiprocessor

  GPU_DEVICE FrameWords(const Largest<T>& op, const Frames& s, T* memory) : Block(op, s, memory) {}

  GPU_DEVICE bool look(int frame, Found (&found)[kFramesRows]) const {
    const T* const column = this->column(frame);
    auto at = static_cast<uint32_t>(this->column_);
    forget_bits(&at);  // or what follows from it takes registers from frame to frame
    const bool first = at == 0, last = at + 2 == static_cast<uint32_t>(this->s_.wide);
    const uint32_t own = kBoth * at + 0x10000;  // codes in a row
    const uint32_t left = own - (first ? 0x10000 : kBoth), right = own + kBoth;
    // Halves of two words side by side.
    const uint32_t from_left = first ? 0x5454 : 0x5432, from_right = last ? 0x3232 : 0x5432;
    uint32_t all_words = 0;  // a NaN, if one is
    Found rows[3];
    this->for_rows([&](int r, int row) {
      const auto word = [&](int i) {
        const uint32_t w = reinterpret_cast<const OneWord*>(column + i)->w;
        all_words = max2<T>(all_words, w);
        return w;
      };
      const uint32_t x = word(row);
      Found& across = rows[r % 3];
      across.value = permute_bytes(word(row - 2), x, from_left);
      across.code = left;
      across.take(x, own);
      across.take(permute_bytes(x, word(row + 2), from_right), right);
      across.code += kBoth * static_cast<uint32_t>(row);
      if (r < 2) return;
      Found& all = found[r - 2];
      all = rows[(r - 2) % 3];
      all.merge(rows[(r - 1) % 3]);
      all.merge(across);
    });
    return larger2<T>(all_words, narrow2<T>(-1, -1)) != ~0u;
  }

  // Codes are below 3 * 64 * 7 * 2, what a block's threads have of three frames.
  GPU_DEVICE Found behind(Found found, int frames) const {
    found.code += kBoth * static_cast<uint32_t>(frames * this->s_.frame());
    return found;
  }

  GPU_DEVICE void put(int frame, int row, const Found& found) const {
    if (row >= this->rows_) return;
    const int before = (frame - 1) * this->s_.frame();
    const int places[2] = {before + static_cast<int>(found.code & 0xffff),
                           before + static_cast<int>(found.code >> 16)};
    const uint32_t to = this->result(frame, row);
    reinterpret_cast<OneWord*>(this->op_.dst + to)->w = found.value;
    store_indices(this->op_.indices + to, places);
  }
  // Of the frame's windows that have one the last NaN.
  GPU_DEVICE void find_nans(int frame) const {
    const T* const src = this->from(0);
#pragma unroll 1
    for (int i = 0; i < 2 * kFramesRows && i / 2 < this->rows_; ++i) {
      const int row = this->top_ + i / 2, column = this->column_ + i % 2;
      int found = -1;
#pragma unroll 1
      for (int k = 0; k < 27; ++k) {
        const int d = nearest(frame - 1 + k / 9, this->s_.deep);
        const int h = nearest(row - 1 + k / 3 % 3, this->s_.high);
        const int w = nearest(column - 1 + k % 3, this->s_.wide);
        const int place = (d * this->s_.high + h) * this->s_.wide + w;
        const float x = widen(src[place]);
        if (x != x && place > found) found = place;
      }
      if (found < 0) continue;
      const uint32_t to = this->result(frame, i / 2) + static_cast<uint32_t>(i % 2);
      this->op_.dst[to] = src[found];
      this->op_.indices[to] = found;
    }
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_FRAME_WORDS_H_
