// Which kernels of layer_norm and rms_norm a call takes, and in how many blocks.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_H_

#include "forward_launch_ragged.h"
#include "forward_sections.h"
#include "forward_strided.h"
#include "forward_tiles.h"

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
      {1, 1, 1, 0, 1}};
  call.ragged = shape.n % kPack<T> != 0 || !rows_aligned(call.rows, 0, a.src.data, kPack<T>);
  return call;
}

template <class Norm, class T, class P>
bool is_aligned(const ForwardCall<Norm, T, P>& call) {
  const auto begins = [](const void* p) { return reinterpret_cast<uintptr_t>(p) % 16 == 0; };
  return !call.ragged && rows_aligned(call.rows, 1, call.dst, kPack<T>) && begins(call.weight) &&
         begins(call.bias);
}

// Of rows and results together: up to it results are still in the second-level cache in the end, if
// rows leave that first. (layer_norm's of 40 to 70 MB are 4 to 10 % faster so on an H200, all
// beyond 130 MB 3 to 6 % slower; rms_norm's gain nothing.)
constexpr int64_t kCachedBytes = int64_t{72} << 20;

template <int kPacks, class Norm, class T, class P>
int launch_rows(const ForwardCall<Norm, T, P>& call, const polyops_context* ctx) {
  const auto [teams, shape] =
      teams_of_block(call.row_count, call.n / kPack<T>, kPacks, kRowThreads, ctx);
  if constexpr (Norm::kCentered) {
    if (2 * static_cast<int64_t>(sizeof(T)) * call.row_count * call.n <= kCachedBytes) {
      return launch(forward_rows<kPacks, true, Norm, T, P>, shape, ctx, call, teams);
    }
  }
  return launch(forward_rows<kPacks, false, Norm, T, P>, shape, ctx, call, teams);
}

// Rows that a cluster holds in registers; of as many blocks as let four share a multiprocessor, or
// the next best. Lost: those shapes of which the last wave leaves the least idle, as fewer rows at
// a time do (softmax of 256 bfloat16 rows of 131072 on an H200: 55 % of copy); two rows of a
// cluster, which share one load of the parameters (layer_norm on an H200: 7 to 14 % slower); rows
// that are not aligned straight into registers, by blocks that stay (up to 18 % slower).
template <class Norm, class T, class P>
int launch_sections(const ForwardCall<Norm, T, P>& call, const polyops_context* ctx) {
  const int64_t packs = call.n / kPack<T>;
  const int most = most_cluster(ctx);
  int blocks = 2;
  while (blocks < most && packs > blocks * kRowPacks * kRowThreads / 2) blocks *= 2;
  const Sections sections = cut_in_sections(call.n, blocks, kPack<T>);
  const int threads = team_of(sections.elements / kPack<T>, kRowPacks);
  if (most == 1 || threads > kRowThreads) return launch_cluster(call, ctx);
  const int64_t all = int64_t{call.row_count} * blocks;
  const bool few = all * threads < kFillThreads * multiprocessors(ctx);
  return launch(forward_sections<Norm, T, P>, {all, threads, 0, blocks}, ctx, call,
                sections.elements, few);
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
    const auto fits = [&](int packs, int threads) {
      return shape.n / kPack<T> <= int64_t{packs} * threads;
    };
    if (is_aligned(call)) {
      if (fits(kShortPacks<Norm>, kRowThreads)) return launch_rows<kShortPacks<Norm>>(call, ctx);
      return fits(kRowPacks, kRowThreads) ? launch_rows<kRowPacks>(call, ctx)
                                          : launch_sections(call, ctx);
    }
    return fits(kRowPacks, kRaggedRow) ? launch_ragged(call, a, shape, ctx)
                                       : launch_cluster(call, ctx);
  });
}

template <class Norm>
size_t forward_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const typename Norm::Args*>(p);
  size_t bytes = 0;
  with_types<Norm>(a.src.dtype, any_parameter<Norm>(a), [&]<class T, class P>() {
    const int32_t stride = cut_stride<Norm, T>(a, shape_of(a.src, a.normalized_rank));
    bytes = CutParameters<T, P, Norm::kParameters>::kCopies * sizeof(P) * stride;
    return POLYOPS_OK;
  });
  return bytes;
}

template <int kEach, class T>
int64_t tile_bytes(int64_t n) {
  using OfTile = Tile<T, kEach>;
  return n * OfTile::kPitch * static_cast<int64_t>(sizeof(typename OfTile::Word));
}
template <int kEach, class T>
int64_t tiles_of(const Walk<2>& rows) {
  return (rows.sizes[0] - 1) / Tile<T, kEach>::kRows + 1;
}

// Whether rows follow each other by an element, so many that their tiles, which fit into shared
// memory, leave few multiprocessors idle; of two rows per lane in words.
template <int kEach, class Norm, class T, class P>
bool has_tiles(const ForwardCall<Norm, T, P>& call, const Walk<2>& elements,
               const polyops_context* ctx) {
  const Walk<2>& rows = call.rows;
  bool has = elements.rank == 1 && elements.strides[1][0] == 1 && rows.strides[0][0] == 1 &&
             rows.sizes[0] >= kAcrossLanes &&
             tile_bytes<kEach, T>(call.n) + kAcrossBesides <= most_shared(ctx);
  if (kEach > 1) {
    has = has && reinterpret_cast<uintptr_t>(call.src) % (kEach * sizeof(T)) == 0 &&
          elements.strides[0][0] % kEach == 0 && rows.sizes[0] % kEach == 0;
    for (int d = 1; d < rows.rank; ++d) has = has && rows.strides[0][d] % kEach == 0;
  }
  return has &&
         tiles_of<kEach, T>(rows) * (call.row_count / rows.sizes[0]) * 2 >= multiprocessors(ctx);
}

template <int kEach, class Norm, class T, class P>
int launch_tiles(const ForwardCall<Norm, T, P>& call, const Walk<2>& elements,
                 const polyops_context* ctx) {
  const Walk<2>& rows = call.rows;
  const int64_t of_run = tiles_of<kEach, T>(rows);
  const auto aligned = [](const void* p, int64_t to) {
    return reinterpret_cast<uintptr_t>(p) % static_cast<uintptr_t>(to) == 0;
  };
  constexpr int64_t kIn = kWideWords * kEach, kOut = kWideWords;
  bool wide_in =
      aligned(call.src, 16) && rows.sizes[0] % kIn == 0 && elements.strides[0][0] % kIn == 0;
  bool wide_out = aligned(call.dst, kOut * sizeof(T)) && aligned(call.weight, kOut * sizeof(P)) &&
                  aligned(call.bias, kOut * sizeof(P)) && call.n % kOut == 0;
  for (int d = 0; d < rows.rank; ++d) {
    wide_in = wide_in && (d == 0 || rows.strides[0][d] % kIn == 0);
    wide_out = wide_out && rows.strides[1][d] % kOut == 0;
  }
  const Tiles tiles = {static_cast<int32_t>(rows.sizes[0]),
                       static_cast<int32_t>(of_run),
                       elements.strides[0][0],
                       rows.strides[1][0],
                       wide_in,
                       wide_out};
  const int64_t bytes = tile_bytes<kEach, T>(call.n);
  const bool few = bytes * kAcrossManyBlocks <= most_shared(ctx);
  return launch(forward_tiles<Norm, T, P, kEach>,
                {of_run * (call.row_count / rows.sizes[0]),
                 few ? kAcrossFewThreads : kAcrossThreads, static_cast<size_t>(bytes)},
                ctx, call, tiles);
}

template <class Norm>
int forward_anywhere(const void* p, const polyops_context* ctx) {
  const auto& a = *static_cast<const typename Norm::Args*>(p);
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const auto elements =
      make_walk<2>({&a.src, &a.dst}, Order::kDimensions, shape.first_normalized, a.src.rank);
  return with_types<Norm>(a.src.dtype, any_parameter<Norm>(a), [&]<class T, class P>() {
    const ForwardCall<Norm, T, P> call = make_forward<Norm, T, P>(a, shape);
    if constexpr (sizeof(T) == 2) {
      if (has_tiles<2>(call, elements, ctx)) return launch_tiles<2>(call, elements, ctx);
    }
    if (has_tiles<1>(call, elements, ctx)) return launch_tiles<1>(call, elements, ctx);
    return launch(forward_strided<Norm, T, P>, {shape.rows, strided_threads(shape.n)}, ctx, call,
                  elements);
  });
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_LAUNCH_H_
