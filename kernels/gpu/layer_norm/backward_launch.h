// Which kernels of the gradients a call takes, and in how many blocks.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_H_

#include "backward_call.h"
#include "backward_cluster.h"
#include "backward_long.h"
#include "backward_sections.h"
#include "backward_strided.h"
#include "backward_walk.h"
#include "column_sums.h"
#include "shared_memory.h"

namespace polyops::gpu {
namespace {

template <class Norm, class T, class P>
int launch_sums(const BackwardCall<Norm, T, P>& call, const typename Norm::BackwardArgs& a,
                int64_t blocks, const polyops_context* ctx) {
  if (call.sums == nullptr) return POLYOPS_OK;
  const auto tiles = [&](int columns) {
    return Norm::kParameters * (round_up(call.n, columns) / columns);
  };
  if (call.n > kWalkElements) {
    return launch(wide_column_sums<Norm, T>,
                  {tiles(kWideSumThreads * kWideSumColumns), kWideSumThreads}, ctx, call.sums,
                  call.stride, static_cast<int32_t>(blocks), values_of(a.grad_weight),
                  values_of(Norm::grad_bias(a)), call.n);
  }
  int groups_log2 = 0;
  while (1 << groups_log2 < kMostSumGroups) ++groups_log2;
  while (1 << groups_log2 > kLeastSumGroups && tiles(4 << groups_log2) < multiprocessors(ctx)) {
    --groups_log2;
  }
  const int64_t each = tiles(4 << groups_log2) / Norm::kParameters;
  return launch(column_sums<Norm, T>, {Norm::kParameters * each, kSumThreads}, ctx, call.sums,
                call.stride, static_cast<int32_t>(blocks), static_cast<int32_t>(each), groups_log2,
                values_of(a.grad_weight), values_of(Norm::grad_bias(a)), call.n);
}

// How backward_rows() is launched; blocks = 0: not at all.
struct Walkers {
  int team, threads, stages;
  int64_t blocks, bytes;  // blocks per multiprocessor

  int64_t under_way() const { return stages * blocks * threads; }
};

// Lanes of a row; more with fewer packs each, where there are too few rows to fill multiprocessors.
template <class T>
int walk_team(int64_t rows, int64_t packs, const polyops_context* ctx) {
  int team = team_of(packs, kBackwardPacks<T>);
  if (packs <= kHalfWave) return team;
  for (int each = kBackwardPacks<T> / 2; each > 0; each /= 2) {
    const int wider = team_of(packs, each);
    if (rows * wider > kBackwardMost.threads * multiprocessors(ctx) || wider > kWalkThreads) break;
    team = wider;
  }
  return team;
}

// Teams of a block: as many as it has room for, for what fewer blocks have summed is added up
// sooner, if that leaves no multiprocessor without a block.
template <class Norm>
int64_t walk_teams(int64_t rows, int team, const polyops_context* ctx) {
  const int64_t each = (rows + multiprocessors(ctx) - 1) / multiprocessors(ctx);
  return smaller(each, Norm::kBackward.threads / team);
}

// Of n elements of so many rows at a time. As many rows under way as there is shared memory for,
// two of a team at most.
template <class Norm, class T, class P>
Walkers plan_walkers(BackwardCall<Norm, T, P>* call, int64_t n, int64_t rows, const Fitting& few,
                     const polyops_context* ctx) {
  Walkers w = {};
  w.team = walk_team<T>(call->row_count, n / kPack<T>, ctx);
  call->staged = static_cast<int32_t>(packs_of(n, kPack<T>, !call->ragged));
  call->slots = kBackwardPacks<T> + (call->ragged ? ends_of<T>(w.team) : 0);
  const int64_t weight = call->staged * kPack<T> * int64_t{sizeof(P)};
  const int64_t finish_words =
      is_aligned(*call) ? kFinishWords<Norm, false> : kFinishWords<Norm, true>;
  Walkers best = w;
  const int64_t most = walk_teams<Norm>(rows, w.team, ctx);
  for (int64_t teams = most; teams > 0; teams -= most < 8 ? 1 : most / 8) {
    w.threads = static_cast<int>(round_up(teams * w.team, kWholeWaves));
    const int64_t stage = int64_t{call->slots} * 2 * 16 * w.threads;
    const int64_t columns = finish_words * 16 * w.threads;
    w.blocks = walkers_of(w.threads <= few.threads ? few : kBackwardMost, w.threads);
    for (; w.blocks > 0; --w.blocks) {
      const int64_t room = shared_each(ctx, w.blocks) - kBackwardBesides<Norm> - weight;
      w.stages = static_cast<int>(smaller(2, room > 0 ? room / stage : 0));
      w.bytes = weight + w.stages * stage;
      if (w.bytes < columns) w.bytes = columns;
      if (w.bytes <= weight + room && w.under_way() > best.under_way()) best = w;
    }
  }
  return best;
}

template <bool kRagged, class Norm, class T, class P>
auto walk_kernel(int threads) {
  constexpr Fitting kMost = kBackwardMost, kFew = Norm::kBackward;
  if constexpr (kFew.threads < kMost.threads) {
    if (threads > kFew.threads)
      return backward_rows<kRagged, Norm, T, P, kMost.threads, kMost.blocks>;
  }
  return backward_rows<kRagged, Norm, T, P, kFew.threads, kFew.blocks>;
}

template <class Norm, class T, class P>
int launch_walk(BackwardCall<Norm, T, P> call, const Walkers& w,
                const typename Norm::BackwardArgs& a, const polyops_context* ctx) {
  const Plan plan =
      plan_turns(call.row_count, w.threads / w.team, call.ragged ? kPack<T> : 1,
                 smaller(multiprocessors(ctx) * w.blocks, kMostWalkers<Norm>), kMostElements);
  call.turns = plan.turns;
  const auto kernel = is_aligned(call) ? walk_kernel<false, Norm, T, P>(w.threads)
                                       : walk_kernel<true, Norm, T, P>(w.threads);
  const int status =
      launch(kernel, {plan.blocks, w.threads, size_t(w.bytes)}, ctx, call, w.team, w.stages);
  return status != POLYOPS_OK ? status : launch_sums(call, a, plan.blocks, ctx);
}

template <class Norm, class T, class P>
int launch_long(const BackwardCall<Norm, T, P>& call, const typename Norm::BackwardArgs& a,
                const polyops_context* ctx) {
  if (call.grad_src != nullptr) {
    const int status =
        launch(backward_long<Norm, T, P>, {call.row_count, kBackwardMost.threads}, ctx, call);
    if (status != POLYOPS_OK) return status;
  }
  if (call.sums == nullptr) return POLYOPS_OK;
  const Tiling t = tile({0, call.row_count, call.n}, kTileThreads * kPack<T>);
  const int status = launch(backward_columns<Norm, T, P>, {t.tiles * t.chunks, kTileThreads}, ctx,
                            call, static_cast<int32_t>(t.tiles), static_cast<int32_t>(t.chunks));
  return status != POLYOPS_OK ? status : launch_sums(call, a, t.chunks, ctx);
}

// Of so many blocks each, beside what a block has of its own.
constexpr int64_t kClusterBesides = 2048;

// What fewest blocks have registers and shared memory for, of sections of at most so many elements
// unless that takes more blocks than a cluster has; stages = 0: none.
template <class T, class P>
ClusterPlan plan_cluster(int64_t n, int64_t most_elements, Sections* sections,
                         const polyops_context* ctx) {
  int fewest = 2;
  while (fewest < most_cluster(ctx) && n > fewest * most_elements) fewest *= 2;
  for (int blocks = fewest; blocks <= most_cluster(ctx); blocks *= 2) {
    *sections = cut_in_sections(n, blocks, kPack<T>);
    const int32_t place =
        static_cast<int32_t>(round_up(sections->elements, kUnit * kHalfWave)) + kPack<T>;
    const int64_t stages = (most_shared(ctx) - kClusterBesides) / (2 * place * int64_t{sizeof(T)});
    if (sections->elements > kUnits<P> * kUnitStep || stages < kLeastStages) continue;
    const int64_t least = (n - 1) % sections->elements + 1;  // of the last block
    const int64_t waves = round_up(least, kUnit * kHalfWave) / (kUnit * kHalfWave);
    return {static_cast<int>(smaller(stages, kMostStages)), sections->elements, place,
            static_cast<int>(smaller(waves, kSectionWaves) - 1) * kHalfWave};
  }
  return {};
}

template <class Norm, class T, class P, class Kernel, class... More>
int launch_clusters(BackwardCall<Norm, T, P> call, const typename Norm::BackwardArgs& a,
                    const polyops_context* ctx, Kernel kernel, LaunchShape shape, More... more) {
  const Plan plan =
      plan_waves(call.row_count, 1, clusters_at_a_time(kernel, shape, ctx), kMostClusters);
  call.turns = plan.turns;
  shape.blocks *= plan.blocks;
  const int status = launch(kernel, shape, ctx, call, more...);
  return status != POLYOPS_OK ? status : launch_sums(call, a, plan.blocks, ctx);
}

// Of aligned rows.
template <class Norm, class T, class P>
int launch_sections(BackwardCall<Norm, T, P> call, const typename Norm::BackwardArgs& a,
                    const polyops_context* ctx) {
  const int blocks = most_cluster(ctx);
  if (blocks == 1 || call.n > blocks * kWalkElements) return launch_long(call, a, ctx);
  const Sections sections = cut_in_sections(call.n, blocks, kPack<T>);
  const int threads = walk_team<T>(call.row_count, sections.elements / kPack<T>, ctx);
  call.staged = sections.elements / kPack<T>;
  static_assert(Ring<T>::kWords >= kFinishWords<Norm, false>);
  const int64_t bytes =
      sections.elements * int64_t{sizeof(P)} + int64_t{16} * Ring<T>::kWords * threads;
  if (shared_each(ctx, 1) - kBackwardBesides<Norm> < bytes) return launch_long(call, a, ctx);
  return launch_clusters(call, a, ctx, backward_sections<Norm, T, P>,
                         {sections.blocks, threads, size_t(bytes), sections.blocks},
                         sections.elements);
}

// rms_norm's aligned rows of 16 bits go by packs, in sections of two units of a thread (bfloat16
// 512x65536: 73.0 us by backward_sections, 66.3 so, 69.9 in fewest blocks); layer_norm's are faster
// by backward_sections (75.5 us, by packs 76.8).
template <class Norm, class T, class P>
int launch_cluster(const BackwardCall<Norm, T, P>& call, const typename Norm::BackwardArgs& a,
                   const polyops_context* ctx) {
  constexpr bool kHalf = sizeof(T) == 2, kPacks = kHalf && !Norm::kCentered;
  const bool aligned = is_aligned(call), packed = kPacks && aligned;
  Sections sections = {};
  const int units = packed ? 2 : kUnits<P>;
  const ClusterPlan plan = plan_cluster<T, P>(call.n, units * kUnitStep, &sections, ctx);
  if constexpr (!kPacks) {
    if (aligned && (kHalf || plan.stages == 0)) return launch_sections(call, a, ctx);
  }
  if (plan.stages == 0) return launch_long(call, a, ctx);
  const LaunchShape shape = {sections.blocks, kSectionThreads,
                             size_t{2} * plan.stages * plan.place * sizeof(T), sections.blocks};
  auto kernel = backward_cluster<false, Norm, T, P>;
  if constexpr (kPacks) {
    if (packed) kernel = backward_cluster<true, Norm, T, P>;
  }
  return launch_clusters(call, a, ctx, kernel, shape, plan);
}

template <class Norm>
int backward_contiguous(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return with_types<Norm>(a.src.dtype, a.weight, [&]<class T, class P>() {
    BackwardCall<Norm, T, P> call = make_backward<Norm, T, P>(a, shape, ctx);
    if (shape.n > kWalkElements) return launch_cluster(call, a, ctx);
    const Walkers walkers = plan_walkers(&call, shape.n, shape.rows, Norm::kBackward, ctx);
    return walkers.blocks > 0 ? launch_walk(call, walkers, a, ctx) : launch_long(call, a, ctx);
  });
}

template <class Norm>
int backward_anywhere(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const int threads = strided_threads(shape.n);
  const Walk<3> elements = backward_space(a, shape.first_normalized, a.src.rank);
  return with_types<Norm>(a.src.dtype, a.weight, [&]<class T, class P>() {
    const BackwardCall<Norm, T, P> call = make_backward<Norm, T, P>(a, shape, ctx);
    if (call.grad_src != nullptr) {
      const int status =
          launch(backward_strided<Norm, T, P>, {shape.rows, threads}, ctx, call, elements);
      if (status != POLYOPS_OK) return status;
    }
    if (call.sums == nullptr) return static_cast<int>(POLYOPS_OK);
    const Tiling t = tile(shape, threads);
    const int status =
        launch(backward_strided_columns<Norm, T, P>, {t.tiles * t.chunks, threads}, ctx, call,
               elements, static_cast<int32_t>(t.tiles), static_cast<int32_t>(t.chunks));
    return status != POLYOPS_OK ? status : launch_sums(call, a, t.chunks, ctx);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_LAUNCH_H_
