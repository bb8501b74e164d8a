// What a tile of columns has beyond its threads' registers: each thread keeps its own packs in
// shared memory, so nobody waits for anybody, and reads again from memory only what finds no room
// there either. Chunks are numbered in the order of the first pass; the second goes backwards: the
// last is still in registers, those before it are the likeliest in L2, the first ones are parked.
#ifndef POLYOPS_GPU_SOFTMAX_PARK_H_
#define POLYOPS_GPU_SOFTMAX_PARK_H_

#include <cstddef>

#include "gpu.h"
#include "shared_memory.h"

namespace polyops::gpu {
namespace {

// Held: what a thread has of a chunk, of kEach arrays (backward: two tensors).
template <class Held, int kPacks, int kEach>
struct Park {
  Held* memory;
  int chunks;

  GPU_DEVICE bool has(int chunk) const { return chunk < chunks; }
  GPU_DEVICE void keep(int chunk, int each, const Held (&x)[kPacks]) const {
    if (!has(chunk)) return;
#pragma unroll
    for (int k = 0; k < kPacks; ++k) memory[place(chunk, each, k)] = x[k];
  }
  GPU_DEVICE void fetch(int chunk, int each, Held (&x)[kPacks]) const {
#pragma unroll
    for (int k = 0; k < kPacks; ++k) x[k] = memory[place(chunk, each, k)];
  }

 private:
  GPU_DEVICE int place(int chunk, int each, int k) const {
    return ((chunk * kEach + each) * kPacks + k) * block_threads() + thread_id();
  }
};

// How many chunks are parked, of `chunks` of that many bytes, and what is not. Of blocks up to 512
// threads a multiprocessor holds two, which load and store in turns: neither takes more than half.
struct Parking {
  int chunks;
  size_t bytes;
};

inline Parking parking(const polyops_context* ctx, int threads, int64_t chunks, int64_t chunk_bytes,
                       int64_t other_bytes) {
  int64_t room = shared_each(ctx, threads <= 512 ? 2 : 1);
  room = room > other_bytes ? (room - other_bytes) / chunk_bytes : 0;
  const int parked = static_cast<int>(chunks - 1 < room ? chunks - 1 : room);
  return {parked, static_cast<size_t>(parked * chunk_bytes)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_SOFTMAX_PARK_H_
