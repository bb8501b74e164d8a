// What is normalised together, a slice, as runs of elements next to each other: a group of channels
// of one sample is one run; a channel of all samples, one run per sample. Several blocks share a
// slice: each takes a chunk of its parts, in the same way in every kernel.
#ifndef POLYOPS_GPU_CHANNEL_NORM_RUNS_H_
#define POLYOPS_GPU_CHANNEL_NORM_RUNS_H_

#include <cstdint>

#include "division.h"
#include "gpu.h"
#include "row.h"

namespace polyops::gpu {
namespace {

constexpr int kRunThreads = 256;
constexpr int kRunPacks = 4;  // in flight, per thread
constexpr int64_t kRunBlocks = 2048;
constexpr int64_t kLeastPart = 8192;  // elements of a run that is split

struct Runs {
  int64_t slice_stride, run_stride;  // elements between the first ones
  int64_t slices;
  int32_t count, n;     // runs of a slice, elements of a run
  int32_t parts, part;  // of a run, elements of each but the last
  int32_t chunks;       // of a slice
  int32_t lanes;        // that share a part, a power of two

  // The chunk of a slice that is a single run: elements of that.
  GPU_DEVICE void span(int chunk, int32_t* at, int32_t* elements) const {
    *at = static_cast<int32_t>(int64_t{parts} * chunk / chunks) * part;
    const int64_t end = int64_t{parts} * (chunk + 1) / chunks * part;
    *elements = static_cast<int32_t>(end < n ? end : n) - *at;
  }

  // Calls f(offset of the first element in the tensor, elements) for every step-th part of the
  // chunk.
  template <class F>
  GPU_DEVICE void for_each_part(int64_t slice, int chunk, int first, int step, F f) const {
    const int64_t all = int64_t{count} * parts;
    const auto end = static_cast<int32_t>(all * (chunk + 1) / chunks);
    for (int32_t i = static_cast<int32_t>(all * chunk / chunks) + first; i < end; i += step) {
      const int32_t run = parts == 1 ? i : i / parts;
      const int32_t at = (i - run * parts) * part;
      f(slice * slice_stride + run * run_stride + at, n - at < part ? n - at : part);
    }
  }
};

// Into so many chunks of a slice, or fewer.
inline void split_into(Runs* runs, int64_t wanted) {
  const auto up = [](int64_t a, int64_t b) { return (a + b - 1) / b; };
  int64_t parts = up(wanted, runs->count);
  const int64_t most = up(runs->n, kLeastPart);
  if (parts > most) parts = most;
  const int64_t part = up(up(runs->n, parts), 64) * 64;
  runs->part = static_cast<int32_t>(part);
  runs->parts = static_cast<int32_t>(up(runs->n, part));
  const int64_t all = int64_t{runs->count} * runs->parts;
  const int64_t whole = up(int64_t{runs->count} * runs->n, kLeastPart);  // chunks worth a block
  int64_t chunks = wanted < all ? wanted : all;
  if (chunks > whole) chunks = whole;
  runs->chunks = static_cast<int32_t>(chunks);
}

// So many that a slice's blocks, `tasks` of them in one block, are kRunBlocks over all slices.
inline void split(Runs* runs, int64_t tasks) {
  split_into(runs, (kRunBlocks * tasks + runs->slices - 1) / runs->slices);
}

// Lanes for a part, up to `most`: a pack for each of them or more.
inline int lanes_of(int64_t elements, int64_t pack, int most) {
  int lanes = 4;
  while (lanes < most && lanes * 2 * pack <= elements) lanes *= 2;
  return lanes;
}

// Packs first, first + step, ... of a run that fits the cut; 0 where there is none. All loads are
// issued before the first is used.
template <int kPacks, class T>
GPU_DEVICE void load_fitting(const Cut<T>& cut, const T* run, int32_t first, int32_t step,
                             Words (&words)[kPacks]) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    words[k] = {};
    const int32_t at = first + k * step;
    if (at >= cut.whole) continue;
    words[k] = load_words(run + cut.of_pack(at));
  }
}

// Which channel an element of a slice belongs to, and how far it is in that.
struct Channels {
  int32_t inner;  // elements of a channel
  Division by;

  GPU_DEVICE int32_t of(int32_t at, int32_t* place) const {
    const auto channel = static_cast<int32_t>(by.quotient(static_cast<uint32_t>(at)));
    *place = at - channel * inner;
    return channel;
  }
};

// Where there is one alone.
struct OneChannel {
  static constexpr int32_t inner = 0x7fffffff;
  GPU_DEVICE int32_t of(int32_t, int32_t* place) const {
    *place = 0;
    return 0;
  }
};

inline Channels channels_of(int64_t inner) {
  return {static_cast<int32_t>(inner), Division(static_cast<uint32_t>(inner))};
}

constexpr int64_t kMostChannels = int64_t{1} << 20;

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CHANNEL_NORM_RUNS_H_
