// Which batches are held in shared memory, and how they are divided among clusters.
#ifndef POLYOPS_GPU_BATCH_NORM_HELD_LAUNCH_H_
#define POLYOPS_GPU_BATCH_NORM_HELD_LAUNCH_H_

#include <numeric>

#include "held_kernels.h"
#include "layout.h"

namespace polyops::gpu {
namespace {

// A block's packs: of three blocks a multiprocessor has room for, some of which load while another
// one stores; or of one at most.
constexpr int64_t kHeldBytes = 72 << 10, kMostHeldBytes = 208 << 10;
constexpr int64_t kLeastHeldBytes = 8 << 10;  // worth another block
constexpr int64_t kMostAcrossHeld = 8;        // packs, of channels next to each other
constexpr int kHeldPacks = 16;                // of a thread, for whose sake there are more threads

// Packs of a tile's row; 0: there are no such tiles.
inline int64_t held_width(const BatchShape& shape, int64_t pack, int64_t most_bytes) {
  if (!shape.last) {
    const int64_t channels = pack / std::gcd(pack, shape.pixels);
    return shape.channels % channels == 0 ? channels * shape.pixels / pack : 0;
  }
  if (shape.channels % (2 * pack) != 0) return 0;
  int64_t width = 2;
  while (width < kMostAcrossHeld && shape.channels % (2 * width * pack) == 0 &&
         shape.n() * width * 32 <= most_bytes) {
    width *= 2;
  }
  return width;
}

// So that few of a block's threads have no place in a row, and there are enough for its packs: more
// of them where a multiprocessor has no other block.
inline int32_t held_threads(int64_t packs, int64_t width, int inputs) {
  const int64_t each = packs * inputs * 16 * 2 > kMostHeldBytes ? kHeldPacks / 2 : kHeldPacks;
  int32_t best = 256;
  int64_t most = 0;
  for (int32_t threads = 128; threads <= kHeldThreads; threads += 64) {
    if (threads < width) continue;
    const int64_t used = threads / width * width;
    int64_t score = used * 1024 / threads;
    if (packs > used * each) score = score * used * each / packs;
    if (threads > 256) score -= 64;
    if (score > most) {
      most = score;
      best = threads;
    }
  }
  return best;
}

constexpr int kHeldSums = 2;  // that are taken at a time, at most

// False: not to be held. `inputs`: tensors that are read.
inline bool divide_held(const BatchShape& shape, int64_t pack, int inputs,
                        const polyops_context* ctx, HeldTiles* of) {
  const int64_t inner = shape.last ? 1 : shape.pixels;
  const int64_t rows = shape.last ? shape.n() : shape.samples;
  const int64_t most = most_cluster(ctx);
  const int64_t width = held_width(shape, pack, most * kHeldBytes / 2 / inputs);
  if (width == 0) return false;
  const int64_t channels = width * pack / inner;
  if (channels == 1 || width > kHeldThreads) return false;
  const int64_t tiles = shape.channels / channels, bytes = rows * width * 16 * inputs;
  int64_t blocks = 1;
  while (blocks < most && blocks * 2 <= rows &&
         (bytes > blocks * kHeldBytes ||
          (tiles * blocks < multiprocessors(ctx) && bytes > blocks * kLeastHeldBytes))) {
    blocks *= 2;
  }
  if (bytes > blocks * kMostHeldBytes) return false;
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  const auto i32 = [](int64_t x) { return static_cast<int32_t>(x); };
  const int64_t part = up(rows, blocks), threads = held_threads(part * width, width, inputs);
  const int64_t step = threads / width, stride = shape.channels * inner;
  *of = {};
  of->stride = stride;
  of->step = step * stride;
  of->rows = i32(rows), of->width = i32(width);
  of->tiles = i32(tiles), of->channels = i32(channels), of->inner = i32(inner);
  of->by_width = Division(static_cast<uint32_t>(width));
  of->by_inner = Division(static_cast<uint32_t>(inner));
  of->blocks = i32(blocks), of->threads = i32(threads);
  of->part = i32(part), of->packs = i32(up(part, step));
  // As held_team() in the narrowest wave there is.
  const int64_t team = shape.last && width < kLeastWave ? kLeastWave : width;
  of->parts = i32(kHeldSums * (threads / team * width * pack));
  // Forward sends one sum and then two more.
  of->lines_at = of->parts + i32((1 + kHeldSums) * blocks * channels);
  of->ends = of->lines_at + i32(4 * channels);
  return true;
}

inline size_t held_bytes(const HeldTiles& of, int inputs) {
  return static_cast<size_t>(of.packs) * of.threads * 16 * inputs + of.ends * sizeof(float);
}

inline bool aligned(std::initializer_list<const void*> tensors) {
  bool all = true;
  for (const void* p : tensors) all &= reinterpret_cast<uintptr_t>(p) % 16 == 0;
  return all;
}

// Whether it was launched; `status` then says how that went.
template <class T, int kInputs, class What>
bool launch_held(const RunPointers<T, kInputs>& p, const BatchShape& shape, const What& what,
                 void (*kernel)(HeldTiles, What, RunPointers<T, kInputs>),
                 const polyops_context* ctx, int* status) {
  HeldTiles of;
  if (!aligned({p.in[0], p.in[kInputs - 1], p.out})) return false;
  if (!divide_held(shape, kPack<T>, kInputs, ctx, &of)) return false;
  const size_t bytes = held_bytes(of, kInputs);
  if (static_cast<int64_t>(bytes) > most_shared(ctx)) return false;
  *status = launch(kernel, {int64_t{of.tiles} * of.blocks, of.threads, bytes, of.blocks}, ctx, of,
                   what, p);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_BATCH_NORM_HELD_LAUNCH_H_
