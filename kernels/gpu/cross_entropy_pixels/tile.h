// A block's pixels with all of their classes in its shared memory, where they arrive on their own
// as packs of 16 aligned bytes, all at once: threads hold next to nothing meanwhile, so that many
// blocks are on a multiprocessor, and it does not matter where in its 16 bytes a plane begins.
// Planes lie one behind another with room for a pack more each; channels_last is one run of memory.
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

template <class T, int kGroup>
class PixelTile {
 public:
  static constexpr int kPixels = kGroup * kQuad;
  static constexpr int kPitch = kPixels + kPack<T>;

  GPU_DEVICE PixelTile(T* shared, const Scores<T>& s, const Tiling& t, const PlaceOf<kGroup>& at)
      : memory_(shared),
        place_(static_cast<int>(at.first - at.begin)),
        count_(at.whole ? kPixels : static_cast<int>(t.pixels - at.begin)),
        classes_(t.classes),
        planes_(s.pixel == 1),
        quads_(t.quads),
        plane_(s.plane),
        first_(s.data + at.image * s.image + at.begin * s.pixel),
        shift_(misplaced(first_)),
        turn_(static_cast<int>(s.plane & (kPack<T> - 1))) {}

  // Is there when wait_copies() and a barrier() have been.
  GPU_DEVICE void fetch() const {
    if (!planes_) {
      fetch_run(first_, count_ * classes_, memory_);
      close_copies();
      return;
    }
    const int first = thread_id() / kPacks, at = thread_id() % kPacks * kPack<T>;
    const T* from = first_ + first * plane_ + at;
    T* to = memory_ + first * kPitch + at;
    for (int k = first; k < classes_; k += kPixelThreads / kPacks) {
      const int shift = misplaced(from);
      if (at < shift + count_) copy_16_later(to, from - shift);
      from += kPixelThreads / kPacks * plane_;
      to += kPixelThreads / kPacks * kPitch;
    }
    if ((shift_ | turn_) != 0) fetch_last_packs();
    close_copies();
  }

  // As load_classes(); pixels that the image has not are anything.
  GPU_DEVICE void load(int begin, int rows, Quad<T> (&x)[kRows<T>]) const {
    if (quads_) {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k) {
        if (k >= rows) break;
        x[k] = *reinterpret_cast<const Quad<T>*>(in_plane(begin + k));
      }
    } else if (planes_) {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k) {
        if (k >= rows) break;
        const T* row = in_plane(begin + k);
        x[k] = gather_quad<T>([&](int j) { return row + j * kGroup; });
      }
    } else {
      const T* pixel[kQuad];
#pragma unroll
      for (int j = 0; j < kQuad; ++j) pixel[j] = of(begin, j);
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k) {
        if (k >= rows) break;
        x[k] = gather_quad<T>([&](int j) { return pixel[j] + k; });
      }
    }
  }

  // Of planes, back to where load() had them from.
  GPU_DEVICE void put(int begin, int rows, const Quad<T> (&x)[kRows<T>]) const {
    if (quads_) {
#pragma unroll
      for (int k = 0; k < kRows<T>; ++k) {
        if (k >= rows) break;
        *reinterpret_cast<Quad<T>*>(in_plane(begin + k)) = x[k];
      }
      return;
    }
#pragma unroll
    for (int k = 0; k < kRows<T>; ++k) {
      if (k >= rows) break;
      T* const row = in_plane(begin + k);
      scatter_quad(x[k], [&](int j) { return row + j * kGroup; }, [](int) { return true; });
    }
  }

  // The element of the class and the thread's j-th pixel.
  GPU_DEVICE T* of(int k, int j) const {
    if (planes_) return in_plane(k) + (quads_ ? j : j * kGroup);
    return memory_ + shift_ + (place_ + j * kGroup) * classes_ + k;
  }

  // Of planes, whose memory is the same number of elements behind 16 bytes as `out` and what is
  // behind it; when the block's threads have met.
  GPU_DEVICE void store(T* out, int64_t plane) const {
    const int at = thread_id() % kPacks * kPack<T>;
    for (int k = thread_id() / kPacks; k < classes_; k += kPixelThreads / kPacks) {
      const int shift = shift_of_plane(k);
      if (at < shift || at + kPack<T> > shift + count_) continue;
      store_words(out + k * plane - shift + at, load_words(memory_ + k * kPitch + at));
    }
    if ((shift_ | turn_) == 0 && count_ % kPack<T> == 0) return;
    for (int i = thread_id(); i < classes_ * 2 * kPack<T>; i += kPixelThreads) {
      const int k = i / (2 * kPack<T>), e = end_of_plane(k, i % (2 * kPack<T>));
      if (e >= 0) out[k * plane - shift_of_plane(k) + e] = memory_[k * kPitch + e];
    }
  }

 private:
  // Of a plane's piece, but for the one more.
  static constexpr int kPacks = kPixels / kPack<T>;

  // Those that planes have beyond kPacks.
  GPU_DEVICE void fetch_last_packs() const {
    for (int k = thread_id(); k < classes_; k += kPixelThreads) {
      const int shift = shift_of_plane(k);
      if (shift + count_ <= kPixels) continue;
      copy_16_later(memory_ + k * kPitch + kPixels, first_ + k * plane_ - shift + kPixels);
    }
  }
  GPU_DEVICE int shift_of_plane(int k) const { return (shift_ + k * turn_) & (kPack<T> - 1); }
  GPU_DEVICE T* in_plane(int k) const { return memory_ + k * kPitch + shift_of_plane(k) + place_; }
  // The places of elements in packs that are not all the plane's: of the first pack, then of the
  // last; -1: there is none.
  GPU_DEVICE int end_of_plane(int k, int i) const {
    const int shift = shift_of_plane(k), end = shift + count_, last = end & -kPack<T>;
    if (i < kPack<T>) return shift != 0 && i >= shift && i < end ? i : -1;
    const int e = last + i - kPack<T>;
    return e < end && (last > 0 || shift == 0) ? e : -1;
  }

  T* memory_;
  int place_;  // of the thread's first pixel
  int count_, classes_;
  bool planes_, quads_;
  int64_t plane_;
  const T* first_;
  int shift_, turn_;  // of the first plane; from each to the next
};

// ---- From the host.

// Threads for a tile's pixels; 0: no tiles of it are taken. In channels_last, pixels of a multiple
// of 32 bytes would all begin in a few banks.
template <class T>
int group_of(const polyops_tensor& src, const polyops_context* ctx) {
  const int64_t classes = src.sizes[1], room = shared_each(ctx, 4);
  const bool run = src.strides[2] == classes && src.strides[1] == 1;
  if (src.strides[2] != 1 && (!run || classes * sizeof(T) % 32 == 0)) return 0;
  const auto fits = [&]<int kGroup>() {
    return classes * PixelTile<T, kGroup>::kPitch * static_cast<int64_t>(sizeof(T)) <= room;
  };
  if (fits.template operator()<kPixelThreads>()) return kPixelThreads;
  return fits.template operator()<kFewer<T>>() ? kFewer<T> : 0;
}

template <class T, int kGroup>
LaunchShape tile_shape(const polyops_tensor& src) {
  using Tile = PixelTile<T, kGroup>;
  return {pixel_blocks(src, Tile::kPixels), kPixelThreads,
          sizeof(T) * Tile::kPitch * static_cast<size_t>(src.sizes[1])};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CROSS_ENTROPY_PIXELS_TILE_H_
