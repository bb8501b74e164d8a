// The row after the one that a team computes: on its way to shared memory meanwhile, so that loads
// are under way whatever a row waits for.
#ifndef POLYOPS_GPU_LAYER_NORM_NEXT_ROW_H_
#define POLYOPS_GPU_LAYER_NORM_NEXT_ROW_H_

#include "forward.h"

namespace polyops::gpu {
namespace {

// A lane's share of a row, or of a section of it, or none. Its packs arrive where nobody else
// looks; the elements at its ends in registers, as they are in memory: to widen them is to wait for
// them.
template <class T, int kPacks, int kEnds = kMostEnds<T>>
struct NextRow {
  Words* mine;  // places of kHalfWave threads lie side by side: a thread's are a constant apart
  T* dst;
  T ends[kEnds];

  GPU_DEVICE explicit NextRow(Words* memory)
      : mine(memory + thread_id() / kHalfWave * (kPacks * kHalfWave) + thread_id() % kHalfWave),
        dst(nullptr),
        ends{} {}
  GPU_DEVICE Words* place(int k) const { return mine + k * kHalfWave; }

  template <class Norm, class P>
  GPU_DEVICE void open(const ForwardCall<Norm, T, P>& call, int32_t begin, uint32_t row,
                       const Share<T>& of) {
    int64_t at[2];
    call.rows.offsets(row, at);
    const T* src = call.src + at[0] + begin;
    dst = call.dst + at[1] + begin;
    if (of.cut.fits(src)) {
      const T* from = src + of.cut.of_pack(of.lane);
#pragma unroll
      for (int k = 0; k < kPacks; ++k) {
        if (k < of.packs) copy_16_later(place(k), from);
        from += of.team * kPack<T>;
      }
    } else {
      copy_misfit<kPacks>(of.cut, src, of.lane, of.team, [&](int k) { return place(k); });
    }
    close_copies();
    for_each_end<kEnds>(of.cut, of.lane, of.team, [&](int e, int at) { ends[e] = src[at]; });
  }

  // Waits for its packs; their places are free then. Anything where there are none.
  GPU_DEVICE void take(const Share<T>& of, Part<T, kPacks, kEnds>* x) const {
    wait_copies<0>();
#pragma unroll
    for (int k = 0; k < kPacks; ++k) x->packs[k] = *place(k);
#pragma unroll
    for (int e = 0; e < kEnds; ++e) x->ends[e] = 0;
    for_each_end<kEnds>(of.cut, of.lane, of.team, [&](int e, int) { x->ends[e] = widen(ends[e]); });
  }
};

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_NEXT_ROW_H_
