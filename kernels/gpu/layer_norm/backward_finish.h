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

// What all teams have there, given where the first one's is.
struct TeamSums {
  int teams, merged, step;  // words from those merged to the next ones

  GPU_DEVICE TeamSums(int all, int team, const ColumnPlaces& places)
      : teams(all),
        merged(team < kHalfWave ? kHalfWave / team : 1),
        step((team < kHalfWave ? 1 : team / kHalfWave) * places.of_group()) {}
  template <class F>
  GPU_DEVICE void for_each(const Words* from, F f) const {
#pragma unroll 4
    for (int t = 0; t < teams; t += merged) {
      f(*from);
      from += step;
    }
  }
};

// A team has some words of all lanes; of aligned rows.
template <class Norm, class T>
GPU_DEVICE void store_columns(const Cut<T>& cut, const TeamSums& all, int lane, int team,
                              const ColumnPlaces& places, float* out, int64_t stride) {
  constexpr int kParts = kPack<T> / 4;
  for (int word = thread_id() / team; word < kFinishWords<Norm, false>; word += all.teams) {
    const int in = word % kPackWords, at = lane + in / kParts * team;
    if (at >= cut.whole) continue;
    float sum[4] = {};
    all.for_each(places.at(lane, word), [&](const Words& x) { add_words(x, sum); });
    store_words(out + word / kPackWords * stride + cut.of_pack(at) + in % kParts * 4,
                words_at(sum, 0));
  }
}

// Of rows that begin anywhere, whose packs in the workspace do, too: an element to a thread, so
// that those of a wave are side by side: as four stores of a word's elements, whose neighbours are
// 16 or 32 bytes away, they were four or eight times as many sectors. As many packs of all lanes at
// a time as the block has threads for.
template <class Norm, class T>
GPU_DEVICE void store_odd_columns(const Cut<T>& cut, const TeamSums& all, int team,
                                  const ColumnPlaces& places, float* out, int64_t stride) {
  const auto store = [&](int lane, int word, int in, float* to) {
    float sum = 0;
    all.for_each(places.at(lane, word), [&](const Words& x) { sum += float_of_bits(x.w[in]); });
    *to = sum;
  };
  const int each = team * kPack<T>;
  const int at_a_time = each < block_threads() ? block_threads() / each : 1;
  const int first = thread_id() / each;
  constexpr int kSets = Norm::kParameters * kBackwardPacks<T>;
  for (int set = first; first < at_a_time && set < kSets; set += at_a_time) {
    const int i = set / kBackwardPacks<T>, k = set % kBackwardPacks<T>;
    const int left = (cut.whole - k * team) * kPack<T>, count = left < each ? left : each;
    float* const to = out + i * stride + cut.of_pack(k * team);
    for (int j = thread_id() - first * each; j < count; j += block_threads()) {
      store(j / kPack<T>, i * kPackWords + (k * kPack<T> + j % kPack<T>) / 4, j % 4, to + j);
    }
  }
  constexpr int kEnds = 2 * kPack<T>;
  for (int end = thread_id(); end < Norm::kParameters * kEnds; end += block_threads()) {
    const int i = end / kEnds, place = end % kEnds, at = cut.of_end(place);
    if (at < 0) continue;
    store(place % team, Norm::kParameters * kPackWords + i, place / team, out + i * stride + at);
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
  const TeamSums all(teams, team, places);
  if constexpr (kRagged) {
    store_odd_columns<Norm>(cut, all, team, places, out, call.stride);
  } else {
    store_columns<Norm>(cut, all, lane, team, places, out, call.stride);
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_FINISH_H_
