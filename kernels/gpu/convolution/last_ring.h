// Rows of images whose channels lie next to each other, on their way to a ring in shared memory by
// asynchronous copies, some ahead of the one that is looked at: no register waits for a load, so
// more warps have some. Bound: memory.
//
// A block has some packs of channels of a stretch of columns, as many in all images, and goes down
// the rows of one stretch after another. A slot of the ring has what one step of that adds: a row
// of gradients with those beside the block's own, and the rows of pixels that it is spread to. A
// thread has 2 channels of SpreadWalk's neighbouring columns (spread_walk.h).
#ifndef POLYOPS_GPU_CONVOLUTION_LAST_RING_H_
#define POLYOPS_GPU_CONVOLUTION_LAST_RING_H_

#include "last_sums.h"
#include "spread_walk.h"

namespace polyops::gpu {
namespace {

constexpr int kRingWave = 32;

// Elements of a slot: of a pixel, of the row of gradients, of a row of pixels, and of all.
struct RingSlot {
  int32_t pitch, grads, pixels, all;
};
template <class Own>
RingSlot ring_slot(const SlideGrid& g) {
  RingSlot slot;
  slot.pitch = g.width * Own::kElements;
  slot.grads = (g.lines * Own::kResults + Own::kBack + Own::kAfter) * slot.pitch;
  slot.pixels = g.lines * Own::kPixels * slot.pitch;
  slot.all = slot.grads + Own::kSquare * slot.pixels;
  return slot;
}

template <class T>
struct RingCall {
  Shape shape;
  SlideGrid grid;
  RingSlot slot;
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;
  Sums<T> sums;
};

// What of the input and of the gradients a strip of a block is.
struct RingStrip {
  int32_t n, column, row, rows;

  // results: columns of a line.
  GPU_DEVICE RingStrip(int32_t index, const Shape& s, const SlideGrid& g, int results) {
    auto rest = static_cast<uint32_t>(index);
    column = static_cast<int32_t>(take_remainder(g.across, &rest)) * g.lines * results;
    row = static_cast<int32_t>(take_remainder(g.down, &rest)) * g.rows;
    n = static_cast<int32_t>(rest);
    rows = Tile::least(g.rows, s.h.out - row);
  }
};

// Which strips a block has: `turns` of them from first on, if there are as many.
struct RingTurns {
  int32_t first, end;

  GPU_DEVICE RingTurns(const SlideGrid& g, int32_t block)
      : first(block * g.turns), end(Tile::least(first + g.turns, g.strips)) {}
};

// What the block's last wave does: it copies, so that no other has addresses and turns for that.
template <class Own, class T>
class RingFetch {
 public:
  GPU_DEVICE RingFetch(const RingCall<T>& call, const SlideLane<Own>& lane, T* memory)
      : s_(call.shape),
        slot_(call.slot),
        packs_(lane.channels / kPack<T>),
        grad_(call.grad + lane.channel),
        src_(call.src + lane.channel),
        memory_(memory),
        columns_(call.grid.lines * Own::kResults) {
    const int own = thread_id() % wave_size();
    pixel_ = own / packs_;
    pack_ = own - pixel_ * packs_;
    pixels_on_ = wave_size() / packs_;
    packs_on_ = wave_size() - pixels_on_ * packs_;
  }

  GPU_DEVICE void begin(const RingStrip& strip) {
    row_ = strip.row - Own::kBack;
    step_ = 0;
    left_ = strip.column == 0 ? Own::kBack : 0;
    const int32_t most = s_.w.out - strip.column;  // columns of the image, from the strip's on
    right_ = Tile::least(columns_ + Own::kAfter, most) + Own::kBack;
    inner_ = Own::kSquare * Tile::least(columns_, most);
    const int64_t grads =
        (int64_t{strip.n} * s_.h.out + row_) * s_.w.out + strip.column - Own::kBack;
    const int64_t pixels = (int64_t{strip.n} * s_.h.in + strip.row * Own::kSquare) * s_.w.in +
                           strip.column * Own::kSquare;
    grads_ = grad_ + grads * s_.channels;
    pixels_ = src_ + pixels * s_.channels;
  }
  // The next step's.
  GPU_DEVICE void next() {
    T* to = memory_ + at_ * slot_.all;
    if (static_cast<uint32_t>(row_) < static_cast<uint32_t>(s_.h.out)) {
      copy(to, grads_, left_, right_);
    }
    ++row_;
    grads_ += s_.w.out * s_.channels;
    if (step_ >= Own::kBefore) {
      to += slot_.grads;
#pragma unroll
      for (int k = 0; k < Own::kSquare; ++k) {
        copy(to, pixels_, 0, inner_);
        to += slot_.pixels;
        pixels_ += s_.w.in * s_.channels;
      }
    }
    ++step_;
    at_ = at_ == Own::kAhead ? 0 : at_ + 1;
  }

 private:
  // Pixels begin.. to end of a row.
  GPU_DEVICE void copy(T* to, const T* from, int32_t begin, int32_t end) const {
    int32_t pixel = begin + pixel_, pack = pack_;
#pragma unroll 4
    while (pixel < end) {
      copy_16_later(to + (pixel * slot_.pitch + pack * kPack<T>),
                    from + (pixel * s_.channels + pack * kPack<T>));
      pixel += pixels_on_;
      pack += packs_on_;
      if (pack >= packs_) {
        pack -= packs_;
        ++pixel;
      }
    }
  }

  const Shape& s_;
  const RingSlot& slot_;
  int32_t packs_;
  const T *grad_, *src_;  // of the block's channels
  T* memory_;
  int32_t columns_;
  int32_t pixel_, pack_, pixels_on_, packs_on_;  // of this lane, and to its next ones
  int32_t row_, step_, left_, right_, inner_;
  const T *grads_, *pixels_;
  int32_t at_ = 0;  // the slot
};

// By the block's last wave: all steps, and as many barriers as the others have.
template <class Own, class T>
GPU_DEVICE void fetch_ring(const RingCall<T>& call, const SlideLane<Own>& lane, T* memory) {
  const RingTurns turns(call.grid, lane.block);
  RingFetch<Own, T> fetch(call, lane, memory);
  int32_t ahead = 0;
#pragma unroll 1
  for (int32_t index = turns.first; index < turns.end; ++index) {
    const RingStrip strip(index, call.shape, call.grid, Own::kResults);
    fetch.begin(strip);
#pragma unroll 1
    for (int32_t step = 0; step < strip.rows + Own::kBefore; ++step) {
      if (ahead >= Own::kAhead) {
        wait_copies<Own::kAhead - 1>();
        barrier();
      }
      ++ahead;
      fetch.next();
      close_copies();
    }
  }
#pragma unroll 1
  for (int32_t i = Tile::least(ahead, Own::kAhead); i > 0; --i) {
    wait_copies<0>();
    barrier();
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_LAST_RING_H_
