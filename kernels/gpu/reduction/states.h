// Folding by several numbers at once: an Op has
//   Numbers            what elements are folded into, so many float32
//   none(), merge()    of no elements, and of two parts
//   Many<kWide>        what a lane keeps for kWide results: take(x) adds kRows elements to each,
//                      whose rescaling, or division, is one for all of them; get(j)
//   Finish             what becomes of the numbers, and where it goes
//   begin<kWide>(to)   Many, if it needs anything of Finish
//   kFewAtOnce         one pack, or row, at a time (if there, and true)
// Parts of results lie in scratch memory as so many arrays, one for each number.
#ifndef POLYOPS_GPU_REDUCTION_STATES_H_
#define POLYOPS_GPU_REDUCTION_STATES_H_

#include "gpu.h"
#include "reduce.h"

namespace polyops::gpu {
namespace {

template <int kCount>
struct Numbers {
  static constexpr int kSize = kCount;
  float v[kCount];
};

template <class Op, int kWide>
GPU_DEVICE auto begin_many(const typename Op::Finish& to) {
  if constexpr (requires { Op::template begin<kWide>(to); }) {
    return Op::template begin<kWide>(to);
  } else {
    return typename Op::template Many<kWide>();
  }
}

// Packs, or rows, of a lane in flight, where most ops take kMost.
template <class Op, int kMost>
inline constexpr int kAtOnce = kMost;
template <class Op, int kMost>
  requires(Op::kFewAtOnce)
inline constexpr int kAtOnce<Op, kMost> = 1;

template <class N>
GPU_DEVICE void put_numbers(float* table, int64_t pitch, int64_t at, const N& x) {
#pragma unroll
  for (int i = 0; i < N::kSize; ++i) table[i * pitch + at] = x.v[i];
}
template <class N>
GPU_DEVICE N get_numbers(const float* table, int64_t pitch, int64_t at) {
  N x;
#pragma unroll
  for (int i = 0; i < N::kSize; ++i) x.v[i] = table[i * pitch + at];
  return x;
}

// Of `lanes` neighbours, or of those of them that are `apart`.
template <class Op>
GPU_DEVICE typename Op::Numbers merge_lanes(typename Op::Numbers x, int lanes, int apart = 1) {
  for (int mask = lanes / 2; mask >= apart; mask /= 2) {
    typename Op::Numbers other;
#pragma unroll
    for (int i = 0; i < Op::Numbers::kSize; ++i) other.v[i] = shuffle_xor(x.v[i], mask);
    x = Op::merge(x, other);
  }
  return x;
}

// As merge_team() of one number. `shared`: kMostWaves elements for each.
template <class Op>
GPU_DEVICE typename Op::Numbers merge_team_numbers(typename Op::Numbers x, int team,
                                                   float* shared) {
  using N = typename Op::Numbers;
  x = merge_lanes<Op>(x, team < wave_size() ? team : wave_size());
  if (team <= wave_size()) return x;
  const int lane = thread_id() % wave_size();
  if (lane == 0) put_numbers(shared, kMostWaves, thread_id() / wave_size(), x);
  barrier();
  x = Op::none();
  if (lane < block_threads() / wave_size()) x = get_numbers<N>(shared, kMostWaves, lane);
  return merge_lanes<Op>(x, wave_size());
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_REDUCTION_STATES_H_
