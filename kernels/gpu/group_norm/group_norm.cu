// group_norm and group_norm_backward on GPUs.
// Bound: memory, 2 and 3 elements moved per element.
#include "backward.h"
#include "backward_held.h"
#include "forward.h"
#include "held.h"
#include "table.h"

namespace polyops::gpu {
namespace {

using GroupArgs = polyops_group_norm_args;
using GroupBackwardArgs = polyops_group_norm_backward_args;

struct GroupShape {
  int64_t samples, channels, pixels, groups;
  int64_t width() const { return channels / groups; }
  int64_t rows() const { return samples * groups; }
  int64_t n() const { return width() * pixels; }
};

inline GroupShape group_shape(const polyops_tensor& src, int32_t groups) {
  return {src.sizes[0], src.sizes[1], src.sizes[2], groups};
}

inline int64_t pack_of(int32_t dtype) { return 16 / polyops_dtype_size(dtype); }

constexpr int64_t kChunkPacks = 4096;  // of a large group's chunk
// Of src, for each multiprocessor, between its two reads: on an H200 a third of the second-level cache.
constexpr int64_t kStepPacks = 8192;

// Groups as slices.
inline Runs group_runs(const GroupShape& shape, int64_t pack) {
  Runs runs = {};
  runs.slices = shape.rows();
  runs.slice_stride = shape.n();
  runs.count = 1;
  runs.n = static_cast<int32_t>(shape.n());
  runs.lanes = kRunThreads;
  const int64_t enough = (kRunBlocks + runs.slices - 1) / runs.slices;
  const int64_t chunks = shape.n() / (kChunkPacks * pack);
  split_into(&runs, chunks < enough ? enough : chunks);
  return runs;
}

// Channels of samples as slices, `team` threads for a chunk of one.
inline Runs plane_runs(const GroupShape& shape, int64_t pack, int* team) {
  Runs runs = {};
  runs.slices = shape.samples * shape.channels;
  runs.slice_stride = shape.pixels;
  runs.count = 1;
  runs.n = static_cast<int32_t>(shape.pixels);
  *team = runs.lanes = lanes_of(shape.pixels, pack * kSumsPacks, kRunThreads);
  split(&runs, 1);
  return runs;
}

inline size_t group_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const GroupArgs*>(p);
  const Runs runs = group_runs(group_shape(a.src, a.groups), pack_of(a.src.dtype));
  return static_cast<size_t>(runs.slices * runs.chunks) * kMomentsOfChunk * sizeof(float);
}

template <class T>
GroupCall<T> make_group_call(const GroupArgs& a, const GroupShape& shape) {
  return {static_cast<const T*>(a.src.data),
          static_cast<T*>(a.dst.data),
          values_of(a.weight),
          values_of(a.bias),
          values_of(a.mean),
          values_of(a.rstd),
          static_cast<int32_t>(shape.rows()),
          static_cast<int32_t>(shape.n()),
          static_cast<int32_t>(shape.groups),
          static_cast<int32_t>(shape.width()),
          channels_of(shape.pixels),
          1 / static_cast<float>(shape.n()),
          static_cast<float>(a.eps),
          shape.n() % kPack<T> != 0 || reinterpret_cast<uintptr_t>(a.src.data) % 16 != 0};
}

// So many groups at a time that the cache has them for their second read.
template <class T>
int launch_steps(const GroupCall<T>& call, const Runs& runs, const polyops_context* ctx) {
  int64_t step = kStepPacks * multiprocessors(ctx) / (call.n / kPack<T>);
  if (step < 1) step = 1;
  auto* moments = static_cast<float*>(ctx->scratch);
  Tasks apply = {};
  int status = POLYOPS_OK;
  for (int64_t row = 0; row - step < call.rows && status == POLYOPS_OK; row += step) {
    int64_t rows = call.rows - row < step ? call.rows - row : step;
    if (rows < 0) rows = 0;
    const Tasks read = {row * runs.chunks, rows * runs.chunks};
    status = launch(group_step<T>, {read.count + apply.count, kRunThreads}, ctx, call, runs, read,
                    apply, moments);
    apply = read;
  }
  return status;
}

inline int group_forward(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const GroupArgs*>(p);
  const GroupShape shape = group_shape(a.src, a.groups);
  return with_type(a.src.dtype, [&]<class T>() {
    const GroupCall<T> call = make_group_call<T>(a, shape);
    if (shape.n() / kPack<T> <= kGroupPacks * kHalfWave) {
      const int team = team_of(shape.n() / kPack<T>, kGroupPacks);
      const int threads = threads_of(shape.rows(), team, kRunThreads);
      const int64_t teams = threads / team;
      return launch(group_rows<T>, {(shape.rows() + teams - 1) / teams, threads}, ctx, call, team);
    }
    const auto held = plan_held(shape.rows(), shape.n(), shape.width(), kPack<T>, ctx);
    if (held.blocks > 0) {
      return launch(group_held<T>,
                    {shape.rows() * held.blocks, held.threads, held.shared, held.blocks}, ctx, call,
                    held.shape);
    }
    return launch_steps(call, group_runs(shape, kPack<T>), ctx);
  });
}

inline size_t group_backward_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const GroupBackwardArgs*>(p);
  const GroupShape shape = group_shape(a.src, a.groups);
  int team;
  const Runs runs = plane_runs(shape, pack_of(a.src.dtype), &team);
  const int64_t parts = runs.chunks < kMostUnitParts ? kMostUnitParts : runs.chunks;
  return static_cast<size_t>(runs.slices * parts) * 2 * sizeof(float);
}

template <class T>
GroupGradient<T> make_group_gradient(const GroupBackwardArgs& a, const GroupShape& shape,
                                     int32_t parts, const polyops_context* ctx) {
  return {static_cast<const T*>(a.grad_dst.data),
          static_cast<const T*>(a.src.data),
          static_cast<T*>(a.grad_src.data),
          values_of(a.weight),
          values_of(a.mean),
          values_of(a.rstd),
          static_cast<int32_t>(shape.groups),
          static_cast<int32_t>(shape.width()),
          channels_of(shape.pixels),
          1 / static_cast<float>(shape.n()),
          static_cast<float*>(ctx->scratch),
          parts};
}

// Whether every channel is whole packs.
inline bool planes_fit(const GroupBackwardArgs& a, const GroupShape& shape, int64_t pack) {
  const auto aligned = [](const polyops_tensor& t) {
    return reinterpret_cast<uintptr_t>(t.data) % 16 == 0;
  };
  return shape.pixels % pack == 0 && aligned(a.grad_dst) && aligned(a.src) && aligned(a.grad_src);
}

template <class T, int kWide>
int launch_held(const HeldPlan<HeldUnits>& held, const GroupBackwardArgs& a,
                const GroupShape& shape, const polyops_context* ctx) {
  return launch(group_gradient_held<T, kWide>,
                {shape.rows() * held.blocks, held.threads, held.shared, held.blocks}, ctx,
                make_group_gradient<T>(a, shape, held.shape.parts, ctx), held.shape);
}

// Leaves the sums of every channel of each sample, in so many parts.
template <class T>
int launch_group_gradient(const GroupBackwardArgs& a, const GroupShape& shape,
                          const polyops_context* ctx, int32_t* parts) {
  const bool wanted = polyops_is_present(&a.grad_src);
  if (wanted) {
    const int wide = planes_fit(a, shape, kPack<T>) ? kPack<T> : 1;
    const int64_t bytes = wide == 1 ? sizeof(Piece<T, 1>) : sizeof(Words);
    const auto held =
        plan_held_gradient(shape.rows(), shape.width(), shape.pixels / wide, bytes, ctx);
    *parts = held.shape.parts;
    if (held.blocks > 0 && wide == 1) return launch_held<T, 1>(held, a, shape, ctx);
    if (held.blocks > 0) return launch_held<T, kPack<T>>(held, a, shape, ctx);
  }
  int team;
  const Runs planes = plane_runs(shape, kPack<T>, &team);
  *parts = planes.chunks;
  const SumsCall<T> call = {static_cast<const T*>(a.grad_dst.data),
                            static_cast<const T*>(a.src.data),
                            {values_of(a.mean), values_of(a.rstd), false, 0},
                            planes,
                            static_cast<int32_t>(shape.channels),
                            static_cast<int32_t>(shape.width()),
                            static_cast<float*>(ctx->scratch)};
  const int64_t blocks = (planes.slices * planes.chunks * team + kRunThreads - 1) / kRunThreads;
  const int status = launch(slice_sums<T>, {blocks, kRunThreads}, ctx, call, team);
  if (status != POLYOPS_OK || !wanted) return status;
  const Runs runs = group_runs(shape, kPack<T>);
  return launch(group_gradient<T>, {runs.slices * runs.chunks, kRunThreads}, ctx,
                make_group_gradient<T>(a, shape, *parts, ctx), runs);
}

inline int group_backward(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const GroupBackwardArgs*>(p);
  const GroupShape shape = group_shape(a.src, a.groups);
  return with_type(a.src.dtype, [&]<class T>() {
    int32_t parts;
    const int status = launch_group_gradient<T>(a, shape, ctx, &parts);
    ChannelResults to = {};
    to.grad_weight = values_of(a.grad_weight);
    to.grad_bias = values_of(a.grad_bias);
    const bool wanted = to.grad_weight.data != nullptr || to.grad_bias.data != nullptr;
    if (status != POLYOPS_OK || !wanted) return status;
    return launch_channel_sums<T>(static_cast<const float*>(ctx->scratch), shape.samples * parts,
                                  shape.channels, to, ctx);
  });
}

// ---- What may be asked for.

const char* group_reason(const polyops_tensor& src, int32_t groups,
                         std::initializer_list<const polyops_tensor*> same,
                         std::initializer_list<const polyops_tensor*> values) {
  if (!has_type(src.dtype)) return "dtype";
  if (src.rank != 3 || groups < 1 || src.sizes[1] % groups != 0) return "shape";
  for (const polyops_tensor* t : same) {
    if (!polyops_is_present(t)) continue;
    if (t->dtype != src.dtype) return "dtype";
    if (!polyops_is_contiguous(t)) return "layout";
  }
  for (const polyops_tensor* t : values) {
    if (!polyops_is_present(t)) continue;
    if (t->dtype != POLYOPS_FLOAT32 && t->dtype != src.dtype) return "dtype";
    if (!polyops_is_contiguous(t)) return "layout";
  }
  const GroupShape shape = group_shape(src, groups);
  const bool fits = shape.n() <= kMostElements && shape.samples * shape.channels <= kMostElements &&
                    shape.width() < kMostChannels;
  return fits ? nullptr : "shape";
}

const char* group_supports(const void* p) {
  const auto& a = *static_cast<const GroupArgs*>(p);
  return group_reason(a.src, a.groups, {&a.src, &a.dst}, {&a.weight, &a.bias, &a.mean, &a.rstd});
}

const char* group_backward_supports(const void* p) {
  const auto& a = *static_cast<const GroupBackwardArgs*>(p);
  const bool any = polyops_is_present(&a.grad_src) || polyops_is_present(&a.grad_weight) ||
                   polyops_is_present(&a.grad_bias);
  if (!any) return "nothing to compute";
  return group_reason(a.src, a.groups, {&a.src, &a.grad_dst, &a.grad_src},
                      {&a.weight, &a.mean, &a.rstd, &a.grad_weight, &a.grad_bias});
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(group_norm,
                    POLYOPS_GPU_KERNEL("group_norm", "group_norm", group_supports, group_scratch,
                                       group_forward),
                    POLYOPS_GPU_KERNEL("group_norm_backward", "group_norm_backward",
                                       group_backward_supports, group_backward_scratch,
                                       group_backward))
