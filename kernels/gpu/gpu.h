// The names that kernels of this folder are written in. They exist once for every GPU: platform.h,
// beside the family that compiles them (kernels/cuda; tests/simt for the harness that runs them
// lane by lane on a CPU), gives each name its meaning:
//
//   GPU_KERNEL(n)               a kernel of at most n threads per block
//   GPU_KERNEL(n, blocks)       of which so many find registers on a multiprocessor
//   GPU_DEVICE                  a function that kernels call
//   GPU_CONSTANT                before a kernel's argument that it indexes: no lane has a copy of
//                               it
//   GPU_SHARED(T, x, n)         T x[n], shared by the block, uninitialised
//   GPU_DYNAMIC_SHARED(T, x)    T* x: the shared memory that launch() was asked for
//   thread_id(), block_threads(), block_id(), grid_blocks()    all of one dimension
//   wave_size()                 lanes in lockstep, 32 or 64: no compile-time constant
//   barrier()                   of the block; all its threads must come
//   team_barrier(t, threads)    of the t-th so many threads, whole waves of them, up to 15 such
//                               teams, as which all of the block come to it equally often
//   shuffle_xor(x, mask)        x of the lane whose number differs by mask; all lanes must come
//   any_lane(x)                 whether x is true in any lane of the wave; all lanes must come
//   same_lanes(x, bits, same)   of each x[k], of so many bits: same[k], how many lanes of the wave
//                               have it, and how many of those are before this one; all lanes must
//                               come; a wave_barrier(), too
//   count_one(p)                ++*p of the block's memory, whatever other threads do to it
//                               meanwhile
//   claim_bits(p, bits)         *p |= bits of the block's memory, whatever other threads do to it
//                               meanwhile; returns what it was
//   wave_barrier()              of the wave's lanes, which then see what they wrote to the block's
//                               memory
//   f16, bf16                   storage; widen() and narrow<T>() convert, to nearest even
//   widen2, narrow2             two of them in a word, the first in its low half
//   larger2(x, y)               of both: all bits where x is larger than y, which a NaN never is,
//                               else 0
//   max2(x, y)                  of both: the larger one; a positive NaN, if there is one
//   max_number2(x, y)           of both: the larger one; where one is NaN, the other
//   without_minus_zero2(x)      of both: 0 where it is -0
//   load_16, store_16           16 aligned bytes of the device's memory, in one access; a store
//                               never to shared memory
//   load_16_once                the same, of what this kernel looks at once: it leaves the caches
//                               first
//   store_16_once               as store_16, what leaves the caches before what was read
//   prefetch(p)                 what lies at p is on its way to a cache
//   prefetch_run(p, bytes)      so are all of these bytes, asked for by a single thread: a multiple
//                               of 16, as p is, and more than 0. On devices where that takes one
//                               instruction; on others nothing happens
//   float_bits, float_of_bits   a float32 and its bits
//   funnel_right(low, high, n)  bits n.. of two words, n below 32
//   permute_bytes(a, b, digits) of the bytes 0 to 3 of a and 4 to 7 of b those that the last four
//                               hex digits name, the lowest first
//   exp_fast, log_fast, rsqrt_fast    of float32, to a few units in the last place
//   exp_close                   exp to two units in the last place, denormals too
//   log_close                   log to a unit in the last place, near 1 too, where log_fast is not
//   reciprocal_fast             as exp2_flush; of denormals infinity
//   exp2_flush                  2^x, where a result below 2^-126 may be 0: fewer instructions
//   max_or_nan, min_or_nan      of two; NaN if one of them is
//   forget_bits(p)              the compiler takes *p, unchanged, for a new value
//   copy_16_later(to, from)     16 aligned bytes of the device's memory to the block's, on their
//                               own; this thread may look at them after the wait, others
//                               after a barrier behind it
//   copy_16_later(to, from, bytes)      the same, of which so many are read, and the others are 0
//   close_copies()              those begun since the last time are a group
//   wait_copies<n>()            until all groups of this thread but the last n have arrived
//   Arrival                     in shared memory, for runs of the device's memory that some threads
//                               have copied there, turn after turn
//   open_arrivals(a, count)     by all threads, before the first turn, which any of them begins
//   expect_runs(a, bytes)       by one of them: so many in all of a turn; ahead of its own copies,
//                               if others' may begin before that
//   copy_run_later(a, to, from, bytes)    as copy_16_later(), a multiple of 16, for all threads
//   await_runs(a, turn)         by all threads: that turn's have arrived, and what the thread that
//                               expected them wrote before
//   Departures                  in shared memory: that threads of the block are past something,
//                               turn after turn
//   open_departures(d, count, threads)    of so many threads each, before the first turn; a
//                               barrier() or a cluster_barrier() follows
//   depart(d, counts)           by all threads, for which nobody waits; of those that count, all
//                               by default
//   await_departures(d, turn)   by whoever wants to know: those have departed in that turn
//   before_runs()               what this thread wrote to shared memory, or has asked for there and
//                               not yet used, comes before runs that are copied there after the
//                               next barrier(), or depart()
//   kHasClusters                false where no launch has any, nor code for what is of clusters
//                               alone
//   cluster_blocks(), cluster_rank()    how many blocks are this one's cluster, and its place there
//   cluster_barrier()           of all threads of the cluster
//   cluster_arrive(), then cluster_wait()    that all threads of the cluster have begun, and opened
//                               their mailboxes, for which nobody waits in between; nothing else is
//                               seen by it
//   cluster_send(p, rank, x)    *p = x, where p is in that block's shared memory what it is in this
//                               one's. Between two of those barriers: all have begun, all has
//                               arrived
//   Mailbox                     in shared memory, for turns in which blocks of a cluster tell each
//                               other something, where a barrier would wait for all stores under
//                               way, too
//   open_mailbox(box)           before the first turn, 0; a cluster_barrier() follows, or those two
//   mail(box, turn, p, rank, x) cluster_send(p, rank, x), counted in that block's box; what it
//                               replaces nobody reads, which two places in turn and a barrier() in
//                               each see to
//   await_mail(box, turn, n)    by all threads: n such values have arrived in this block. Nothing
//                               else that their senders stored need be seen, nor what they read
//                               been read
//   grid_barrier()              of all threads of a grid launched as a whole; what they have stored
//                               is seen. Its header is grid_barrier.h
//   say(place, said)            by a thread, to other blocks of such a grid: three values and
//                               a turn (Said). Nothing else that it has stored is seen. Its header,
//                               too
//   hear(places, first, blocks, turn, said)    by a wave: until so many blocks have said that, each
//                               in its place; said[0] of the first-th, the next one of the block a
//                               wave's lanes further on
//   meet_blocks()               by all threads of the grid, equally often, between the two; it
//                               costs nothing where blocks need not run in turns
//   open_blocks(count, opens)   by all threads of such a grid, before any counts in *count; opens:
//                               in one block. Its header, too
//   count_block(count)          by a thread, for the sake of time alone: nothing it has stored is
//                               seen
//   await_blocks(count, n)      by a wave: until that was n times
//   most_cluster(ctx)           blocks that a cluster may have; 1: there are none
//   clusters_at_a_time(kernel, shape, ctx)    how many of such a launch run at the same time: of a
//                               device's multiprocessors some are in no cluster
//   await_earlier()             by all threads of every kernel, first of all: what was launched
//                               before has ended. On devices that can, a kernel begins when the
//                               blocks of the one before it have ended, which hides 1 to 1.7 us of
//                               an H200's launch
//   let_later_begin()           after that: the kernel behind this one may begin already when all
//                               blocks have said so, or ended. For those whose sums it adds up: as
//                               a rule its blocks only take room (max of 4096x50257: 193 -> 211 us)
//   halt_unless(x)              fails the launch as an assertion does: nothing after it happens
//   launch(kernel, shape, ctx, args...)   from the host; returns what a kernel entry returns
//   multiprocessors(ctx)        how many the device has
//   wave_lanes(ctx)             its wave_size(), from the host
//   most_shared(ctx)            bytes that a block may have, declared and asked for
//
// A block is a whole number of waves. What one vendor alone has (asynchronous copies, clusters)
// stays in its platform.h, behind a name with a plain equivalent.
#ifndef POLYOPS_GPU_GPU_H_
#define POLYOPS_GPU_GPU_H_

#include <cstdint>

#include "launch_shape.h"
#include "platform.h"
#include "polyops/abi.h"

namespace polyops::gpu {
namespace {

// ---- Types.

inline bool has_type(int32_t dtype) {
  return dtype == POLYOPS_FLOAT32 || dtype == POLYOPS_BFLOAT16 || dtype == POLYOPS_FLOAT16;
}

// Calls f.operator()<T>() for the dtype, one of those above.
template <class F>
int with_type(int32_t dtype, F f) {
  if (dtype == POLYOPS_FLOAT32) return f.template operator()<float>();
  if (dtype == POLYOPS_BFLOAT16) return f.template operator()<bf16>();
  return f.template operator()<f16>();
}

// ---- Launches.

// Clusters of so many blocks that run at the same time, each block on a multiprocessor of its own.
template <class... Params>
int64_t resident_clusters(void (*kernel)(Params...), int64_t blocks, const polyops_context* ctx) {
  const int64_t most = multiprocessors(ctx) / blocks;
  if (blocks == 1) return most;
  const LaunchShape shape = {blocks * multiprocessors(ctx), 64, kAllShared,
                             static_cast<int>(blocks)};
  const int64_t clusters = clusters_at_a_time(kernel, shape, ctx);
  return most > 0 && clusters > most ? most : clusters;
}

// ---- 16 bytes, the unit of every access to memory.

template <class T>
inline constexpr int kPack = 16 / static_cast<int>(sizeof(T));

// Elements by which p is behind a multiple of 16 bytes.
template <class T>
GPU_DEVICE int misplaced(const T* p) {
  return static_cast<int>(reinterpret_cast<uintptr_t>(p) % 16 / sizeof(T));
}

struct alignas(16) Words {
  uint32_t w[4];
};

template <class T>
GPU_DEVICE void unpack(const Words& words, float (&x)[kPack<T>]) {
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kPack<T> == 4) {
      x[i] = float_of_bits(words.w[i]);
    } else {
      widen2<T>(words.w[i], &x[2 * i], &x[2 * i + 1]);
    }
  }
}

template <class T>
GPU_DEVICE Words pack(const float (&x)[kPack<T>]) {
  Words words;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (kPack<T> == 4) {
      words.w[i] = float_bits(x[i]);
    } else {
      words.w[i] = narrow2<T>(x[2 * i], x[2 * i + 1]);
    }
  }
  return words;
}

template <class T>
GPU_DEVICE Words load_words(const T* p) {
  Words words;
  load_16(p, words.w);
  return words;
}

template <class T>
GPU_DEVICE Words load_words_once(const T* p) {
  Words words;
  load_16_once(p, words.w);
  return words;
}

template <class T>
GPU_DEVICE void store_words(T* p, const Words& words) {
  store_16(p, words.w);
}

template <class T>
GPU_DEVICE void store_words_once(T* p, const Words& words) {
  store_16_once(p, words.w);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GPU_H_
