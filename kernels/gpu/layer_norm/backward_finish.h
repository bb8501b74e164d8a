// The sums of the columns of all teams of a block go to its row of the workspace by way of shared
// memory, as the lanes' own stores there would be a few bytes of a sector each: first each lane's,
// 16 bytes at a time, to where its packs were if there is room, so that nobody waits for others;
// those of neighbours side by side, which is one turn of the banks.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_FINISH_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_FINISH_H_

#include "backward.h"

namespace polyops::gpu {
namespace {

// Of a lane's packs of a parameter; then, of ragged rows, its ends.
constexpr int kPackWords = kBackwardPacks<float>;
template <class Norm>
constexpr int finish_words(bool ragged) {
  return Norm::kParameters * (kPackWords + (ragged ? 1 : 0));
}

// Where the sums of a block's threads are, so many words each.
struct ColumnPlaces {
  Words* memory;
  int of_thread;

  GPU_DEVICE Words* at(int thread, int word) const {
    return memory + thread / kHalfWave * (of_thread * kHalfWave) + word * kHalfWave +
           thread % kHalfWave;
  }
};

template <bool kRagged, class Norm, class T>
GPU_DEVICE void put_columns(const ColumnSums<Norm, T>& columns, const Cut<T>& cut, int lane,
                            int team, const ColumnPlaces& places) {
  Words* const mine = places.at(thread_id(), 0);
#pragma unroll
  for (int i = 0; i < Norm::kParameters; ++i) {
#pragma unroll
    for (int k = 0; k < kBackwardPacks<T>; ++k) {
      if (lane + k * team >= cut.whole) break;
#pragma unroll
      for (int j = 0; j < kPack<T>; j += 4) {
        const float(&x)[kPack<T>] = columns.packs[i][k];
        mine[(i * kPackWords + (k * kPack<T> + j) / 4) * kHalfWave] = {
            {float_bits(x[j]), float_bits(x[j + 1]), float_bits(x[j + 2]), float_bits(x[j + 3])}};
      }
    }
    if constexpr (kRagged) {
      static_assert(kMostEnds<T> <= 4);
      uint32_t* const ends = mine[(Norm::kParameters * kPackWords + i) * kHalfWave].w;
      for_each_end<kMostEnds<T>>(cut, lane, team,
                                 [&](int e, int) { ends[e] = float_bits(columns.ends[i][e]); });
    }
  }
}

// 4 columns of all teams to a thread.
template <class Norm, class T>
GPU_DEVICE void finish_packs(const Cut<T>& cut, int teams, int team, const ColumnPlaces& places,
                             float* out, int64_t stride) {
  constexpr int kParts = kPack<T> / 4;
  const int groups = cut.whole * kParts;
  for (int32_t i = thread_id(); i < Norm::kParameters * groups; i += block_threads()) {
    const int parameter = i < groups ? 0 : 1;
    const int in = i - parameter * groups;
    const int part = in < cut.whole ? 0 : 1, at = in - part * cut.whole;
    const int k = at / team, lane = at - k * team;
    const int word = parameter * kPackWords + k * kParts + part;
    float sum[4] = {};
#pragma unroll 8
    for (int t = 0; t < teams; ++t) {
      const Words x = *places.at(lane + t * team, word);
#pragma unroll
      for (int j = 0; j < 4; ++j) sum[j] += float_of_bits(x.w[j]);
    }
    float* const to = out + parameter * stride + cut.of_pack(at) + part * 4;
    if (cut.head % 4 == 0) {
      store_words(to, pack<float>(sum));
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) to[j] = sum[j];
    }
  }
}
template <class Norm, class T>
GPU_DEVICE void finish_ends(const Cut<T>& cut, int teams, int team, const ColumnPlaces& places,
                            float* out, int64_t stride) {
  constexpr int kPlaces = 2 * kPack<T>;
  for (int i = thread_id(); i < Norm::kParameters * kPlaces; i += block_threads()) {
    const int parameter = i / kPlaces, place = i % kPlaces, at = cut.of_end(place);
    if (at < 0) continue;
    const int word = Norm::kParameters * kPackWords + parameter, end = place / team;
    float sum = 0;
    for (int t = 0; t < teams; ++t) {
      sum += float_of_bits(places.at(place % team + t * team, word)->w[end]);
    }
    out[parameter * stride + at] = sum;
  }
}

// Of all rows of the block. What shared memory has from `before` on are the places of its threads,
// of_thread words each, of which nobody needs another's any more.
template <bool kRagged, class Norm, class T, class P>
GPU_DEVICE void finish_columns(const BackwardCall<Norm, T, P>& call,
                               const ColumnSums<Norm, T>& columns, const Cut<T>& cut, int lane,
                               int team, int64_t walker, int32_t begin, Words* memory, int before,
                               int of_thread) {
  if (call.sums == nullptr) return;
  wait_copies<0>();
  constexpr int kWords = finish_words<Norm>(kRagged);
  ColumnPlaces places = {memory + before, of_thread};
  if (of_thread < kWords) {
    places = {memory, kWords};
    barrier();
  }
  put_columns<kRagged>(columns, cut, lane, team, places);
  barrier();
  float* const out = call.sums + walker * Norm::kParameters * call.stride + begin;
  finish_packs<Norm>(cut, call.turns.teams, team, places, out, call.stride);
  if constexpr (kRagged) finish_ends<Norm>(cut, call.turns.teams, team, places, out, call.stride);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_FINISH_H_
