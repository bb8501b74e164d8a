// layer_norm and rms_norm of rows in registers where not all begin at 16 aligned bytes, but each
// row of the result as that of the input, and every few rows alike; and of rows beyond what a block
// holds, aligned ones, too. A block, or a cluster of which each block has a section of rows, stays
// for some rows that are cut alike, every eighth of 16 bits, with weight and bias in shared memory
// as these are cut, once for all of its teams: of long rows they would be two more reads of the
// second-level cache per element. Each team has a row, and waits for nobody else; where a pack is
// stored, that of the team's next row begins to arrive.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_ALIKE_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_ALIKE_H_

#include "forward_cluster.h"
#include "forward_rows.h"

namespace polyops::gpu {
namespace {

constexpr int kAlikeThreads = 1024;  // of a block, or of two: 64 registers
constexpr int kAlikeTeams = 8;       // of a block, of whole waves
// Lanes of a team at least: an element each at the ends.
template <class T>
constexpr int kAlikeLanes = 2 * kPack<T>;

// A row that the moments of kSmaller times its values are due for: by each wave on its own, element
// by element, as nobody else comes along. lanes: of the team, or its wave.
template <class Norm, class T>
GPU_DEVICE Moments moments_of_smaller(const T* row, int32_t n, int lanes, float inv_n, float eps) {
  const int lane = thread_id() & (lanes - 1);
  float center[1] = {0};
  if constexpr (Norm::kCentered) {
    LongSum values;
#pragma unroll 1
    for (int32_t i = lane; i < n; i += lanes) values.add(widen(row[i]) * kSmaller);
    center[0] = values.sum;
    sum_lanes(center, lanes);
    center[0] *= inv_n;
  }
  LongSum deviations, squares;
#pragma unroll 1
  for (int32_t i = lane; i < n; i += lanes) {
    const float d = widen(row[i]) * kSmaller - center[0];
    if constexpr (Norm::kCentered) deviations.add(d);
    squares.add_square(d * d);
  }
  float sums[2] = {deviations.sum, squares.sum};
  sum_lanes(sums, lanes);
  const float further = sums[0] * inv_n;
  return make_moments({center[0], further, fmaf(-sums[0], further, sums[1])}, kSmaller, inv_n, eps);
}

// What a lane has of its row, and where: as of all of the block's rows.
template <class T>
struct AlikeRow {
  Share<T> of;
  const T* src;  // of the lane's first pack
  T* dst;
  int end;  // from there to the lane's element at the row's ends
  bool has_end;
  Words* slot;  // where the 16 bytes around that element arrive: in a register it is waited for
  Words x[kRowPacks];

  GPU_DEVICE AlikeRow(const Share<T>& share, const T* row, T* result, Words* slots)
      : of(share),
        src(row + of.cut.of_pack(of.lane)),
        dst(result + of.cut.of_pack(of.lane)),
        end(0),
        has_end(false),
        slot(slots + of.lane) {
    const int at = of.lane < kAlikeLanes<T> ? of.cut.of_end(of.lane) : -1;
    has_end = at >= 0;
    if (has_end) end = at - of.cut.of_pack(of.lane);
  }
  GPU_DEVICE int live() const { return of.cut.whole - of.lane; }
  GPU_DEVICE void load() {
    const T* from = src;
#pragma unroll
    for (int k = 0; k < kRowPacks; ++k) {
      if (k * of.team < live()) x[k] = load_words(from);
      from += of.team * kPack<T>;
    }
    fetch_end(0);
  }
  // Of the row so many elements from here.
  GPU_DEVICE void fetch_end(int64_t from_here) {
    if (has_end) {
      const T* const p = src + (end + from_here);
      copy_16_later(slot, p - misplaced(p));
    }
    close_copies();
  }
  GPU_DEVICE float value_at_end() const {
    wait_copies<0>();
    return has_end ? widen(reinterpret_cast<const T*>(slot)[misplaced(src + end)]) : 0.0f;
  }
};

// whole_row: the row's spread, from the team's sums. before: elements of the row before src.
template <class Norm, class T, class WholeRow>
GPU_DEVICE Moments alike_moments(AlikeRow<T>* row, float value_at_end, int32_t before, int32_t n,
                                 float inv_n, float eps, WholeRow whole_row) {
  const Share<T>& of = row->of;
  float pivot = 0, sums[2] = {};
  if constexpr (Norm::kCentered) {
    float sample[1] = {of.lane < of.cut.whole ? sum_of_pack<T>(row->x[0]) : 0.0f};
    sample[0] += value_at_end;
    sum_lanes(sample, of.team);
    pivot = sample[0] * reciprocal_fast(of.sample);
  }
  add_packs<T>(row->x, pivot, of.cut, of.lane, of.team, sums);
  if (row->has_end) {
    const float d = value_at_end - pivot;
    sums[0] += d;
    sums[1] = fmaf(d, d, sums[1]);
  }
  Moments m = make_moments(whole_row(pivot, sums), 1, inv_n, eps);
  if constexpr (kWideRange<T>) {
    const bool again = !(m.factor > 0);
    if (any_lane(again)) {
      const int lanes = of.team < wave_size() ? of.team : wave_size();
      const Moments smaller = moments_of_smaller<Norm>(row->src - of.cut.of_pack(of.lane) - before,
                                                       n, lanes, inv_n, eps);
      if (again) {
        m = smaller;
        make_smaller<T>(row->x);
      }
    }
  }
  return m;
}

// The row's results, of which all parameters are in shared memory; its packs then are those of the
// next row, if there is one, so many elements from here.
template <class Norm, class T, class P>
GPU_DEVICE void store_alike(AlikeRow<T>* row, const Moments& m,
                            const ParametersOf<Norm, T, P>& parameters, bool more, int64_t next) {
  using Given = ParametersOf<Norm, T, P>;
  const Share<T>& of = row->of;
  const Words* parameter_words = parameters.memory + of.lane + (of.cut.shift != 0);
  const T* from = row->src + next;
  T* to = row->dst;
#pragma unroll
  for (int k = 0; k < kRowPacks; ++k) {
    if (k * of.team >= row->live()) break;
    float y[kPack<T>], parameter[Norm::kParameters][kPack<T>];
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      Words words[Given::kParts];
#pragma unroll
      for (int i = 0; i < Given::kParts; ++i) {
        words[i] = parameter_words[parameters.place(which, i, 0)];
      }
      Given::unpack_all(words, parameter[which]);
    }
    normalize<Norm, T>(row->x[k], m, parameter, y);
    store_words(to, pack<T>(y));
    if (more) row->x[k] = load_words(from);
    from += of.team * kPack<T>;
    to += of.team * kPack<T>;
    parameter_words += of.team;
  }
}

// Teams of so many lanes, each with kAlikeLanes<T> places behind the parameters. elements: of the
// sections of a row, but the last.
template <bool kSections, class Norm, class T, class P>
GPU_KERNEL(kAlikeThreads)
forward_alike(ForwardCall<Norm, T, P> call, int lanes, int32_t elements) {
  constexpr int kBoxes = kSections ? kAlikeTeams : 1;
  constexpr int kTable = 2 * kPosted<Norm> * kMostCluster;
  GPU_SHARED(float, shared, 2 * kMomentsShared);
  GPU_SHARED(Mailbox, boxes, kBoxes);
  GPU_SHARED(float, tables, kBoxes* kTable);
  GPU_DYNAMIC_SHARED(Words, memory);
  const Turns& turns = call.turns;
  const int team = thread_id() / lanes, first_thread = team * lanes;
  const Section section = kSections ? section_of_cluster(elements, call.n) : Section{0, call.n};
  const int64_t walker = kSections ? block_id() / cluster_blocks() : block_id();
  const auto rows = static_cast<uint32_t>(call.row_count);
  const uint32_t begin = turns.first(walker);
  if (begin >= rows) return;
  int left = static_cast<int>((rows - 1 - begin) / turns.step()) + 1;  // turns
  if (left > turns.of(walker)) left = turns.of(walker);
  if (left <= 0) return;

  // A team without a row takes one again, for the sums that all come to: it stores what is there.
  uint32_t row = begin + static_cast<uint32_t>(team * turns.classes);
  if (row >= rows) row = begin;
  int64_t at[2];
  call.rows.offsets(row, at);
  const T* const first = call.src + at[0] + section.begin;
  const auto parameters = parameters_of(call, section, first, memory);
  AlikeRow<T> mine(
      {Cut<T>(first, section.n), thread_id() - first_thread, lanes, section.n / kPack<T> / lanes},
      first, call.dst + at[1] + section.begin, memory + parameters.words() + team * kAlikeLanes<T>);
  mine.load();
  ClusterTable<kPosted<Norm>> table = {boxes + (kSections ? team : 0),
                                       tables + (kSections ? team * kTable : 0), 0, first_thread};
  if constexpr (kSections) {
    for (int t = 0; t * lanes < block_threads(); ++t) open_mailbox(boxes + t);
    cluster_arrive();
  }
  parameters.stage_later();
  close_copies();
  wait_copies<0>();
  if constexpr (kSections) cluster_wait();
  barrier();
  float at_end[Norm::kParameters] = {};
  if (mine.has_end) {
#pragma unroll
    for (int which = 0; which < Norm::kParameters; ++which) {
      at_end[which] = parameters.one(which, mine.end + mine.of.cut.of_pack(mine.of.lane));
    }
  }

  const auto count = static_cast<float>(section.n);
  float* room = shared;
  float* other = shared + kMomentsShared;
#pragma unroll 1
  for (; left > 0; --left) {
    const float value_at_end = mine.value_at_end();
    const Moments m = alike_moments<Norm>(
        &mine, value_at_end, section.begin, call.n, call.inv_n, call.eps,
        [&](float pivot, float(&sums)[2]) {
          const Spread spread = combine_team<Norm, true>(
              pivot, sums, mine.of, first_thread / wave_size(), room,
              kSections ? reciprocal_fast(count) : call.inv_n, [&] { team_barrier(team, lanes); });
          if constexpr (!kSections) return spread;
          return merge_cluster<Norm>(spread, count, call.inv_n, &table);
        });
    if (mine.of.lane == 0 && section.begin == 0) store_moments(call, row, m);
    const uint32_t step = row + turns.step() < rows ? turns.step() : 0;
    const int64_t from = step * call.rows.strides[0][0];
    if (mine.has_end) {
      mine.dst[mine.end] = narrow<T>(affine<Norm>(m.normal<Norm>(value_at_end * m.scale), at_end[0],
                                                  at_end[Norm::kParameters - 1]));
    }
    if (left > 1) mine.fetch_end(from);
    store_alike<Norm>(&mine, m, parameters, left > 1, from);
    mine.src += from;
    mine.dst += step * call.rows.strides[1][0];
    row += step;
    float* const used = room;
    room = other;
    other = used;
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_ALIKE_H_
