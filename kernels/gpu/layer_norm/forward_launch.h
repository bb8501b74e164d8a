// Which kernels of layer_norm and rms_norm a call takes, in how many blocks, and what they get of shared memory.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_H_

#include "forward.h"
#include "forward_long.h"
#include "forward_strided.h"

namespace polyops::gpu {
namespace {

template <class Norm, class T, class P>
ForwardCall<Norm, T, P> make_forward(const typename Norm::Args& a, const Shape& shape) {
  ForwardCall<Norm, T, P> call = {
      static_cast<const T*>(a.src.data),
      static_cast<T*>(a.dst.data),
      parameters<P>(a.weight),
      parameters<P>(Norm::bias(a)),
      values_of(Norm::mean(a)),
      values_of(a.rstd),
      make_walk<2>({&a.src, &a.dst}, Order::kDimensions, 0, shape.first_normalized),
      static_cast<int32_t>(shape.rows),
      static_cast<int32_t>(shape.n),
      1 / static_cast<float>(shape.n),
      static_cast<float>(a.eps),
      false,
      0,
      {1, 1, 1}};
  call.ragged = shape.n % kPack<T> != 0 || !rows_aligned(call.rows, 0, a.src.data, kPack<T>);
  return call;
}

constexpr int64_t kMostTurns = 64;

// What a block may ask for, so many of which share a multiprocessor: less what they have besides.
constexpr int64_t kBesides = 1024 + 4 * kMomentsShared * sizeof(float);
inline int64_t shared_of_block(const polyops_context* ctx, int blocks) {
  return (most_shared(ctx) + 1024) / blocks - kBesides;
}

// As many packs of the parameters as there is room for; returns their bytes.
template <class Norm, class T, class P>
int64_t stage_parameters(ForwardCall<Norm, T, P>* call, int64_t room) {
  constexpr int64_t kBytes = Norm::kParameters * kPack<T> * sizeof(P);
  const int64_t packs = packs_of(call->n, kPack<T>, !call->ragged);
  room = room > 0 ? room / kBytes : 0;
  call->staged = static_cast<int32_t>(packs < room ? packs : room);
  return call->staged * kBytes;
}

template <Fitting kBlocks, class Norm, class T, class P>
int launch_rows(ForwardCall<Norm, T, P> call, int team, int threads, const polyops_context* ctx) {
  const int blocks = kBlocks.threads * kBlocks.blocks / threads;
  const Plan plan = plan_turns(call.row_count, threads / team, call.ragged ? kPack<T> : 1,
                               multiprocessors(ctx) * blocks, kMostTurns);
  call.turns = plan.turns;
  const int64_t bytes = stage_parameters(&call, shared_of_block(ctx, blocks));
  return launch(forward_rows<Norm, T, P, kBlocks>,
                {plan.blocks, threads, static_cast<size_t>(bytes)}, ctx, call, team);
}

template <class Norm, class T, class P>
int launch_rows(const ForwardCall<Norm, T, P>& call, const polyops_context* ctx) {
  const int team = team_of(call.n / kPack<T>, kForwardPacks);
  const int threads = team <= kHalfWave ? threads_of(call.row_count, team, kShortThreads) : team;
  if (threads <= Norm::kForward.threads) {
    return launch_rows<Norm::kForward>(call, team, threads, ctx);
  }
  return launch_rows<kForwardMost>(call, team, threads, ctx);
}

template <class Norm, class T, class P>
int launch_long(ForwardCall<Norm, T, P> call, const polyops_context* ctx) {
  const int64_t packs = call.n / kPack<T>;
  const Plan plan =
      plan_turns(call.row_count, 1, call.ragged ? kPack<T> : 1, multiprocessors(ctx), kMostTurns);
  call.turns = plan.turns;
  constexpr int64_t kChunk = kLongPacks * kForwardMost.threads;
  int64_t room = shared_of_block(ctx, 1);
  const int64_t before = (packs + kChunk - 1) / kChunk - 1;  // the last chunk
  int64_t parked = room / (kChunk * 16);
  if (parked > before) parked = before;
  room -= parked * kChunk * 16;
  const int64_t bytes = stage_parameters(&call, room) + parked * kChunk * 16;
  return launch(forward_long<Norm, T, P>, {plan.blocks, kForwardMost.threads, static_cast<size_t>(bytes)}, ctx,
                call, static_cast<int>(parked));
}

// A parameter that is there, if any is.
template <class Norm>
const polyops_tensor& any_parameter(const typename Norm::Args& a) {
  return polyops_is_present(&a.weight) ? a.weight : Norm::bias(a);
}

template <class Norm>
int forward_contiguous(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const typename Norm::Args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return with_types<Norm>(a.src.dtype, any_parameter<Norm>(a), [&]<class T, class P>() {
    const ForwardCall<Norm, T, P> call = make_forward<Norm, T, P>(a, shape);
    const bool fits = shape.n / kPack<T> <= kForwardPacks * kForwardMost.threads;
    return fits ? launch_rows(call, ctx) : launch_long(call, ctx);
  });
}

template <class Norm>
int forward_anywhere(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const typename Norm::Args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto elements =
      make_walk<2>({&a.src, &a.dst}, Order::kDimensions, shape.first_normalized, a.src.rank);
  return with_types<Norm>(a.src.dtype, any_parameter<Norm>(a), [&]<class T, class P>() {
    return launch(forward_strided<Norm, T, P>, {shape.rows, strided_threads(shape.n)}, ctx,
                  make_forward<Norm, T, P>(a, shape), elements);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_H_
