// Windows of 3 at stride 1 that are as many as the elements, in contiguous volumes of 16 bits whose
// frames a block has threads for, one to a place: an element and its place are one number, of which
// the largest is the window's, a key. A thread looks for it along the depth; then, in shared
// memory, across and down, kKeyFrames frames at a time. What is beside the image is the thread's
// own again. NaNs have no key: where a block finds one, it looks through all its windows. Bound:
// memory, the image once and its results, which neighbouring threads write side by side.
#ifndef POLYOPS_GPU_MAX_POOL_KEYS_H_
#define POLYOPS_GPU_MAX_POOL_KEYS_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "pool2d/axis.h"
#include "pool2d/largest.h"
#include "span.h"
#include "volume.h"
#include "windows.h"

namespace polyops::gpu {
namespace {

constexpr int kKeyThreads = 832;
constexpr int kKeyFrames = 4;
constexpr int64_t kKeyBytes = 26 * 1024;  // of elements in a block's memory
constexpr int64_t kKeyBlocks = 4;         // per multiprocessor, if there is as much to do

// A block has some volumes side by side, or a part of one's frames.
struct KeyBlocks {
  int volumes, beside;
  int deep, high, wide;
  int part;                         // frames of it
  Division parts, frames, columns;  // the latter: places of a frame, and of a row

  GPU_DEVICE int frame() const { return high * wide; }
};

struct alignas(16) KeyPack {
  int key[kKeyFrames];

  GPU_DEVICE void take(const KeyPack& other) {
#pragma unroll
    for (int i = 0; i < kKeyFrames; ++i) take(i, other.key[i]);
  }
  GPU_DEVICE void take(int i, int other) { key[i] = other > key[i] ? other : key[i]; }
};

// Of an element that is no NaN: of equals, of which 0 and -0 are two, the first is the largest.
constexpr int kLeastKey = -0x7fffffff - 1;
template <class T>
GPU_DEVICE int key_of(const T* elements, int place) {
  const uint32_t bits = reinterpret_cast<const uint16_t&>(elements[place]);
  const auto x = static_cast<int32_t>(without_minus_zero2<T>(bits) << 16);
  return (x ^ (x >> 31 & 0x7fff0000)) | (0xffff - place);
}
GPU_DEVICE int place_of_key(int key) { return ~key & 0xffff; }

// Whether there is a NaN in the packs of the block's memory, of which this thread looks at some.
template <class T>
GPU_DEVICE bool has_nan(const Words* packs, int count) {
  uint32_t all = 0;
  for (int i = thread_id(); i < count; i += block_threads()) {
    const Words words = packs[i];
#pragma unroll
    for (int k = 0; k < 4; ++k) all = max2<T>(all, words.w[k]);
  }
  float low, high;
  widen2<T>(all, &low, &high);
  return low != low || high != high;
}

template <class T>
GPU_KERNEL(kKeyThreads, 2)
volume_keys(Largest<T> op, KeyBlocks s) {
  await_earlier();
  GPU_DYNAMIC_SHARED(Words, memory);
  GPU_SHARED(int, nans, 1);
  auto* const across = reinterpret_cast<KeyPack*>(memory);
  KeyPack* const down = across + block_threads();
  Words* const packs = memory + 2 * block_threads();
  auto group = static_cast<uint32_t>(block_id());
  const int begin = static_cast<int>(take_remainder(s.parts, &group)) * s.part;
  const int end = begin + s.part < s.deep ? begin + s.part : s.deep;
  const int frame = s.frame(), first = static_cast<int>(group) * s.beside;
  const int count = s.volumes - first < s.beside ? s.volumes - first : s.beside;
  // Elements that arrive: from the frame before the part on.
  const int before = begin > 0 ? begin - 1 : 0, behind = end < s.deep ? end + 1 : s.deep;
  const int64_t run = (int64_t{first} * s.deep + before) * frame;
  const int elements = count * (behind - before) * frame;
  fetch_run(op.src + run, elements, reinterpret_cast<T*>(packs));
  close_copies();
  if (thread_id() == 0) *nans = 0;

  auto volume = static_cast<uint32_t>(thread_id());
  const int place = static_cast<int>(take_remainder(s.frames, &volume));
  auto row = static_cast<uint32_t>(place);
  const int column = static_cast<int>(take_remainder(s.columns, &row));
  const bool own = static_cast<int>(volume) < count;
  const KeyPack* const left = across + (thread_id() - (own && column > 0));
  const KeyPack* const right = across + (thread_id() + (own && column + 1 < s.wide));
  const KeyPack* const above = down + (thread_id() - (own && row > 0 ? s.wide : 0));
  const KeyPack* const below =
      down + (thread_id() + (own && static_cast<int>(row) + 1 < s.high ? s.wide : 0));
  // The thread's volume, from the frame before the part on; and results of its place.
  const T* const x = reinterpret_cast<const T*>(packs) + misplaced(op.src + run) +
                     (own ? static_cast<int>(volume) : 0) * s.deep * frame;
  const int shift = before * frame;
  auto to = static_cast<uint32_t>(run) - shift +
            (static_cast<uint32_t>(volume) * s.deep + begin) * frame + place;

  wait_copies<0>();
  barrier();
  if (has_nan<T>(packs, (misplaced(op.src + run) + elements + kPack<T> - 1) / kPack<T>)) *nans = 1;
  int at = (begin - before) * frame + place;  // of the next frame's key
  int last = begin > before ? key_of(x, place) : kLeastKey, now = key_of(x, at);
  for (int d = begin; d < end; d += kKeyFrames) {
    KeyPack mine;
#pragma unroll
    for (int i = 0; i < kKeyFrames; ++i) {
      at += frame;
      const int next = d + i + 1 < behind ? key_of(x, at) : kLeastKey;
      mine.key[i] = now;
      mine.take(i, last);
      mine.take(i, next);
      last = now;
      now = next;
    }
    across[thread_id()] = mine;
    barrier();
    if (*nans != 0) break;
    mine.take(*left);
    mine.take(*right);
    down[thread_id()] = mine;
    barrier();
    mine.take(*above);
    mine.take(*below);
#pragma unroll
    for (int i = 0; i < kKeyFrames; ++i) {
      if (!own || d + i >= end) break;
      const int found = place_of_key(mine.key[i]);
      op.dst[to] = x[found];
      op.indices[to] = found + shift;
      to += frame;
    }
  }
  if (*nans == 0 || !own) return;
#pragma unroll 1
  for (int d = begin; d < end; ++d, to += frame) {
    LargestPool<1> all;
#pragma unroll 1
    for (int k = 0; k < 27; ++k) {
      const int h = nearest(static_cast<int>(row) + k / 3 % 3 - 1, s.high);
      const int w = nearest(column + k % 3 - 1, s.wide);
      const int tap = (nearest(d + k / 9 - 1, s.deep) * s.high + h) * s.wide + w;
      if (k == 0) {
        all.begin({widen(x[tap - shift])}, tap);
      } else {
        all.add({widen(x[tap - shift])}, tap);
      }
    }
    op.put_found(all, to);
  }
}

// Whether it was launched, and what that returned.
template <class T>
bool launch_keys(const Largest<T>& op, const Images& images, const Axes<Axis>& axes,
                 const polyops_context* ctx, int* status) {
  const int64_t frame = int64_t{axes.high.in} * axes.wide.in, deep = axes.deep.in;
  if (images.channels != 1 || !keeps_size(axes.deep) || !keeps_size(axes.high) ||
      !keeps_size(axes.wide) || frame > kKeyThreads) {
    return false;
  }
  const int64_t bytes = frame * static_cast<int64_t>(sizeof(T)), most = kKeyBytes / bytes;
  KeyBlocks s = {};
  s.volumes = static_cast<int>(images.count);
  s.deep = axes.deep.in;
  s.high = axes.high.in;
  s.wide = axes.wide.in;
  int64_t parts = 1, beside = kKeyThreads / 2 / frame;
  if (deep > most) parts = divide_up(deep, most - 2);
  const int64_t part = divide_up(divide_up(deep, parts), kKeyFrames) * kKeyFrames;
  parts = divide_up(deep, part);
  const int64_t spread = images.count / (kKeyBlocks * multiprocessors(ctx));
  if (beside > spread) beside = spread;
  if (beside > most / deep) beside = most / deep;
  if (beside < 1 || parts > 1) beside = 1;
  s.beside = static_cast<int>(beside);
  s.part = static_cast<int>(part);
  s.parts = Division(static_cast<uint32_t>(parts));
  s.frames = Division(static_cast<uint32_t>(frame));
  s.columns = Division(static_cast<uint32_t>(axes.wide.in));
  const int64_t threads = divide_up(beside * frame, 64) * 64;
  const int64_t frames = parts > 1 ? part + 2 : beside * deep;
  const LaunchShape shape = {divide_up(images.count, beside) * parts, static_cast<int>(threads),
                             static_cast<size_t>((2 * threads + frames * bytes / 16 + 2) * 16)};
  *status = gpu::launch(volume_keys<T>, shape, ctx, op, s);
  return true;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_MAX_POOL_KEYS_H_
