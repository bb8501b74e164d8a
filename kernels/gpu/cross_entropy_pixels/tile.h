// A block's pixels with all of their classes in its shared memory, where they arrive on their own
// as packs of 16 aligned bytes, all at once: threads hold next to nothing meanwhile, so that many
// blocks are on a multiprocessor, and it does not matter where in its 16 bytes a plane begins.
// Planes lie there as far behind 16 bytes as in memory, one a pitch behind the other;
// channels_last is one run of memory.
#ifndef POLYOPS_GPU_CROSS_ENTROPY_PIXELS_TILE_H_
#define POLYOPS_GPU_CROSS_ENTROPY_PIXELS_TILE_H_

#include <cstdint>

#include "gpu.h"
#include "place.h"
#include "polyops/tensor_view.h"
#include "shared_memory.h"
#include "span.h"

namespace polyops::gpu {
namespace {

// Threads that have a tile's pixels where classes are many, shared by all of the block's: planes'
// pieces are of 256 bytes.
template <class T>
inline constexpr int kFewer = 64 / static_cast<int>(sizeof(T));

// From a plane to the next, but for the remainder of their stride: room for a pack more than a
// plane has, since it may begin in one and end in another.
template <class T, int kGroup>
inline constexpr int kLeastPitch = kGroup * kQuad + kPack<T>;

template <class T, int kGroup>
class PixelTile {
 public:
  GPU_DEVICE PixelTile(T* shared, const Scores<T>& s, const Tiling& t, const PlaceOf<kGroup>& at)
      : memory_(shared),
        first_(s.data + at.image * s.image + at.begin),
        plane_(s.plane),
        pitch_(kLeastPitch<T, kGroup> + static_cast<int>(s.plane & (kPack<T> - 1))),
        shift_(misplaced(first_)),
        count_(at.whole ? kPixels : static_cast<int>(t.pixels - at.begin)),
        classes_(t.classes),
        quads_(t.quads),
        own_(shared + shift_ + (at.first - at.begin)) {}

  // Is there when wait_copies() and a barrier() have been.
  GPU_DEVICE void fetch() const {
    const int row = thread_id() / kPacks, at = thread_id() % kPacks * kPack<T>;
    if (at < count_) {
      const T* from = first_ + row * plane_ + at;
      int place = shift_ + row * pitch_ + at;
      for (int k = row; k < classes_; k += kStep) {
        copy_16_later(memory_ + (place & -kPack<T>), pack_of(from));
        from += kStep * plane_;
        place += kStep * pitch_;
      }
    }
#pragma unroll 1
    for (int k = thread_id(); k < classes_; k += kPixelThreads) {  // packs that begin behind count_
      const T* const from = first_ + k * plane_;
      const int shift = misplaced(from), last = (shift + count_ - 1) & -kPack<T>;
      if (last < count_) continue;
      copy_16_later(memory_ + shift_ + k * pitch_ - shift + last, from - shift + last);
    }
    close_copies();
  }

  // As load_classes(); pixels that the image has not are anything.
  GPU_DEVICE void load(int begin, int rows, Quad<T> (&x)[kRows<T>]) const {
    const T* row = own_ + begin * pitch_;
    if (quads_) {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k, row += pitch_) {
        if (k >= rows) break;
        x[k] = *reinterpret_cast<const Quad<T>*>(row);
      }
    } else {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k, row += pitch_) {
        if (k >= rows) break;
        x[k] = gather_quad<T>([&](int j) { return row + j * kGroup; });
      }
    }
  }

  // Back to where load() had them from.
  GPU_DEVICE void put(int begin, int rows, const Quad<T> (&x)[kRows<T>]) const {
    T* row = own_ + begin * pitch_;
    if (quads_) {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k, row += pitch_) {
        if (k >= rows) break;
        *reinterpret_cast<Quad<T>*>(row) = x[k];
      }
    } else {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k, row += pitch_) {
        if (k >= rows) break;
        scatter_quad(x[k], [&](int j) { return row + j * kGroup; });
      }
    }
  }

  // The element of the class and the thread's j-th pixel.
  GPU_DEVICE T* of(int k, int j) const { return own_ + k * pitch_ + (quads_ ? j : j * kGroup); }

  // To memory that is as far behind 16 bytes as the tile's; when the block's threads have met.
  GPU_DEVICE void store(T* out, int64_t plane) const {
    const int row = thread_id() / kPacks, at = thread_id() % kPacks * kPack<T>;
    if (at < count_) {
      T* to = out + row * plane + at;
      int place = shift_ + row * pitch_ + at;
      for (int k = row; k < classes_; k += kStep) {
        const int begin = at - (place & (kPack<T> - 1));
        if (begin >= 0 && begin + kPack<T> <= count_) {
          store_words(pack_of(to), load_words(memory_ + (place & -kPack<T>)));
        }
        to += kStep * plane;
        place += kStep * pitch_;
      }
    }
#pragma unroll 1
    for (int i = thread_id(); i < 2 * classes_; i += kPixelThreads) {
      store_end(memory_ + shift_ + i / 2 * pitch_, i % 2 != 0, out + i / 2 * plane);
    }
  }

 private:
  static constexpr int kPixels = kGroup * kQuad;
  static constexpr int kPacks = kPixels / kPack<T>;     // of a plane, but for the one more
  static constexpr int kStep = kPixelThreads / kPacks;  // planes at a time

  // Where the 16 bytes begin that it lies in.
  template <class U>
  GPU_DEVICE static U* pack_of(U* p) {
    return reinterpret_cast<U*>(reinterpret_cast<uintptr_t>(p) & -uintptr_t{16});
  }
  // What a plane has before its first whole pack, or behind its last.
  GPU_DEVICE void store_end(const T* from, bool last, T* out) const {
    const int shift = misplaced(from), behind = (shift + count_) & (kPack<T> - 1);
    int at = 0, end = -shift & (kPack<T> - 1);
    if (end > count_) end = count_;
    if (last) {
      at = count_ - behind > end ? count_ - behind : end;
      end = count_;
    }
#pragma unroll 1
    for (; at < end; ++at) out[at] = from[at];
  }

  T* memory_;
  const T* first_;
  int64_t plane_;
  int pitch_, shift_, count_, classes_;
  bool quads_;
  T* own_;  // the thread's first pixel
};

// Of channels_last.
template <class T>
class PixelRun {
 public:
  GPU_DEVICE PixelRun(T* shared, const Scores<T>& s, const Tiling& t, const Place& at)
      : memory_(shared),
        first_(s.data + at.image * s.image + at.begin * s.pixel),
        own_(shared + misplaced(first_) + static_cast<int>(at.first - at.begin) * t.classes),
        count_(at.whole ? kTile : static_cast<int>(t.pixels - at.begin)),
        classes_(t.classes),
        step_(static_cast<int>(at.step) * t.classes) {}

  // As of a PixelTile.
  GPU_DEVICE void fetch() const {
    fetch_run(first_, count_ * classes_, memory_);
    close_copies();
  }
  GPU_DEVICE void load(int begin, int rows, Quad<T> (&x)[kRows<T>]) const {
    const T* pixel[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) pixel[j] = of(begin, j);
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) {
      if (k >= rows) break;
      x[k] = gather_quad<T>([&](int j) { return pixel[j] + k; });
    }
  }
  GPU_DEVICE T* of(int k, int j) const { return own_ + j * step_ + k; }

 private:
  T* memory_;
  const T* first_;
  T* own_;
  int count_, classes_, step_;
};

// ---- From the host.

template <class T, int kGroup>
LaunchShape tile_shape(const polyops_tensor& src) {
  const int64_t pitch = kLeastPitch<T, kGroup> + src.strides[1] % kPack<T>;
  return {pixel_blocks(src, kGroup * kQuad), kPixelThreads,
          sizeof(T) * static_cast<size_t>(src.sizes[1] * pitch + kPack<T>)};
}

// Threads for a tile's pixels; 0: it is too large.
template <class T>
int group_of(const polyops_tensor& src, const polyops_context* ctx) {
  if (src.strides[2] != 1) return 0;
  const auto room = static_cast<size_t>(shared_each(ctx, 4));
  if (tile_shape<T, kPixelThreads>(src).shared_bytes <= room) return kPixelThreads;
  return tile_shape<T, kFewer<T>>(src).shared_bytes <= room ? kFewer<T> : 0;
}

template <class T>
LaunchShape run_shape(const polyops_tensor& src) {
  return {pixel_blocks(src), kPixelThreads,
          sizeof(T) * (kTile * static_cast<size_t>(src.sizes[1]) + kPack<T>)};
}

// Whether there is such a run. Pixels of a multiple of 32 bytes would all begin in a few banks.
template <class T>
bool is_run(const polyops_tensor& src, const polyops_context* ctx) {
  const int64_t classes = src.sizes[1];
  if (src.strides[2] != classes || src.strides[1] != 1) return false;
  if (classes * sizeof(T) % 32 == 0) return false;
  return run_shape<T>(src).shared_bytes <= static_cast<size_t>(shared_each(ctx, 4));
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_TILE_H_
