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
template <class Norm, bool kRagged>
inline constexpr int kFinishWords = Norm::kParameters * (kPackWords + (kRagged ? 1 : 0));

// Where the sums of a block's threads are, so many words each.
struct ColumnPlaces {
  Words* memory;
  int of_thread;

  GPU_DEVICE int of_group() const { return of_thread * kHalfWave; }  // of kHalfWave threads
  GPU_DEVICE Words* at(int thread, int word) const {
    return memory + thread / kHalfWave * of_group() + word * kHalfWave + thread % kHalfWave;
  }
};

template <int kCount>
GPU_DEVICE Words words_at(const float (&x)[kCount], int j) {
  return {{float_bits(x[j]), float_bits(x[j + 1]), float_bits(x[j + 2]), float_bits(x[j + 3])}};
}
GPU_DEVICE void add_words(const Words& x, float (&sum)[4]) {
#pragma unroll
  for (int j = 0; j < 4; ++j) sum[j] += float_of_bits(x.w[j]);
}

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
        mine[(i * kPackWords + (k * kPack<T> + j) / 4) * kHalfWave] =
            words_at(columns.packs[i][k], j);
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

// Of the small teams of kHalfWave threads the sums become the first one's, each word of a lane by
// one of those threads.
template <class Norm, bool kRagged>
GPU_DEVICE void merge_small_teams(int team, const ColumnPlaces& places) {
  Words* const group = places.at(thread_id() - thread_id() % kHalfWave, 0);
  const int in_group = thread_id() % kHalfWave;
  const int lane = in_group % team, teams = kHalfWave / team;
  wave_barrier();
  for (int word = in_group / team; word < kFinishWords<Norm, kRagged>; word += teams) {
    Words* const to = group + word * kHalfWave + lane;
    float sum[4] = {};
#pragma unroll 4
    for (int t = 0; t < teams; ++t) add_words(to[t * team], sum);
    *to = words_at(sum, 0);
  }
}

// A team has some words of all lanes.
template <bool kRagged, class Norm, class T>
GPU_DEVICE void store_columns(const Cut<T>& cut, int teams, int lane, int team,
                              const ColumnPlaces& places, float* out, int64_t stride) {
  constexpr int kParts = kPack<T> / 4;
  const int merged = team < kHalfWave ? kHalfWave / team : 1;  // teams
  const int groups = team < kHalfWave ? 1 : team / kHalfWave, step = groups * places.of_group();
  for (int word = thread_id() / team; word < kFinishWords<Norm, kRagged>; word += teams) {
    const bool is_end = kRagged && word >= Norm::kParameters * kPackWords;
    const int in = word % kPackWords, at = lane + in / kParts * team;
    if (!is_end && at >= cut.whole) continue;
    const Words* from = places.at(lane, word);
    float sum[4] = {};
#pragma unroll 4
    for (int t = 0; t < teams; t += merged) {
      add_words(*from, sum);
      from += step;
    }
    if (is_end) {
      float* const to = out + (word - Norm::kParameters * kPackWords) * stride;
      for_each_end<kMostEnds<T>>(cut, lane, team, [&](int e, int column) { to[column] = sum[e]; });
      continue;
    }
    float* const to = out + word / kPackWords * stride + cut.of_pack(at) + in % kParts * 4;
    if (cut.head % 4 == 0) {
      store_words(to, words_at(sum, 0));
    } else {
#pragma unroll
      for (int j = 0; j < 4; ++j) to[j] = sum[j];
    }
  }
}

// Of a block's only team, whose rows begin anywhere: an element to a thread, so that those of a
// wave are side by side: as four stores of a word's elements, whose neighbours are 16 or 32 bytes
// away, they would be four or eight times as many sectors.
template <class Norm, class T>
GPU_DEVICE void store_odd_columns(const ColumnSums<Norm, T>& columns, const Cut<T>& cut, int lane,
                                  int team, const ColumnPlaces& places, float* out,
                                  int64_t stride) {
#pragma unroll 1
  for (int set = 0; set < Norm::kParameters * kBackwardPacks<T>; ++set) {
    const int i = set / kBackwardPacks<T>, k = set % kBackwardPacks<T>;
    const int left = cut.whole - k * team, count = (left < team ? left : team) * kPack<T>;
    float* const to = out + i * stride + cut.of_pack(k * team);
    for (int j = lane; j < count; j += team) {
      const int word = i * kPackWords + (k * kPack<T> + j % kPack<T>) / 4;
      to[j] = float_of_bits(places.at(j / kPack<T>, word)->w[j % 4]);
    }
  }
#pragma unroll
  for (int i = 0; i < Norm::kParameters; ++i) {
    for_each_end<kMostEnds<T>>(cut, lane, team,
                               [&](int e, int at) { out[i * stride + at] = columns.ends[i][e]; });
  }
}

// Of a block's only team, aligned: nobody else has any.
template <class Norm, class T>
GPU_DEVICE void store_own_columns(const ColumnSums<Norm, T>& columns, const Cut<T>& cut, int lane,
                                  int team, float* out, int64_t stride) {
#pragma unroll
  for (int k = 0; k < kBackwardPacks<T>; ++k) {
    const int at = lane + k * team;
    if (at >= cut.whole) break;
#pragma unroll
    for (int i = 0; i < Norm::kParameters; ++i) {
      float* const to = out + i * stride + cut.of_pack(at);
#pragma unroll
      for (int j = 0; j < kPack<T>; j += 4) store_words(to + j, words_at(columns.packs[i][k], j));
    }
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
  float* const out = call.sums + walker * Norm::kParameters * call.stride + begin;
  const int teams = call.turns.teams;
  if (!kRagged && teams == 1) {
    store_own_columns(columns, cut, lane, team, out, call.stride);
    return;
  }
  wait_copies<0>();
  constexpr int kWords = kFinishWords<Norm, kRagged>;
  ColumnPlaces places = {memory + before, of_thread};
  if (of_thread < kWords) {
    places = {memory, kWords};
    barrier();
  }
  put_columns<kRagged>(columns, cut, lane, team, places);
  if (team < kHalfWave) merge_small_teams<Norm, kRagged>(team, places);
  barrier();
  if (kRagged && teams == 1) {
    store_odd_columns(columns, cut, lane, team, places, out, call.stride);
  } else {
    store_columns<kRagged, Norm>(cut, teams, lane, team, places, out, call.stride);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_FINISH_H_
