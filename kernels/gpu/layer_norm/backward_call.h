// What a call of the gradients has: its blocks at most, its workspace, and how its tensors lie.
#ifndef POLYOPS_GPU_LAYER_NORM_BACKWARD_CALL_H_
#define POLYOPS_GPU_LAYER_NORM_BACKWARD_CALL_H_

#include "backward.h"
#include "backward_long.h"
#include "forward_strided.h"

namespace polyops::gpu {
namespace {

constexpr int kWalkThreads = 256;  // of blocks whose teams are smaller
// Of so many threads and fewer, a multiprocessor's blocks that walk rows.
constexpr int walkers_of(Fitting most, int threads) {
  return most.threads * most.blocks / (threads > kWalkThreads ? threads : kWalkThreads);
}
// All, on as many multiprocessors as the largest chip of today has; more would not be used.
// scratch_bytes() cannot see the device.
template <class Norm>
inline constexpr int64_t kMostWalkers = 160 * walkers_of(Norm::kBackward, kWalkThreads);
// Blocks and the rows each has at least, where they are tiles of columns and chunks of rows.
constexpr int64_t kTileBlocks = 512;
constexpr int64_t kLeastTileRows = 16;

template <class Norm>
bool wants_sums(const typename Norm::BackwardArgs& a) {
  return polyops_is_present(&a.grad_weight) || polyops_is_present(&Norm::grad_bias(a));
}

inline int64_t round_up(int64_t n, int64_t to) { return (n + to - 1) / to * to; }
inline int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

struct Tiling {
  int64_t tiles, chunks;
};
inline Tiling tile(const Shape& shape, int64_t columns) {
  const int64_t tiles = round_up(shape.n, columns) / columns;
  const int64_t most = round_up(shape.rows, kLeastTileRows) / kLeastTileRows;
  const int64_t chunks = smaller(most, kTileBlocks / tiles);
  return {tiles, chunks < 1 ? 1 : chunks};
}

inline int64_t pack_elements(int32_t dtype) { return 16 / polyops_dtype_size(dtype); }
inline int64_t sums_stride(const Shape& shape) { return round_up(shape.n, 4); }

// What the lanes of a block take of a row, 32 elements each.
constexpr int64_t kWalkElements = 32 * kBackwardMost.threads;
// Of a workspace of up to a megabyte each.
constexpr int64_t kMostClusters = 80;
// Of the shared memory that a block has, what is neither weight nor rows.
template <class Norm>
constexpr int64_t kBackwardBesides =
    int64_t{sizeof(float)} *
    (4 * kMostWaves + 2 * Norm::kSums * kMostCluster + 4);  // and the mailbox

template <class Norm>
size_t sums_bytes(const Shape& shape, int64_t rows) {
  return static_cast<size_t>(rows * Norm::kParameters * sums_stride(shape)) * sizeof(float);
}

template <class Norm>
size_t backward_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  if (!wants_sums<Norm>(a)) return 0;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  const int64_t pack = pack_elements(a.src.dtype);
  const int64_t chunks = tile(shape, kTileThreads * pack).chunks;
  // Where shared memory is small, or there are no clusters or none takes a row, rows go in chunks.
  const int64_t most = shape.n > kMostCluster * kWalkElements ? 1
                       : shape.n > kWalkElements              ? kMostClusters
                                                              : kMostWalkers<Norm>;
  const int64_t walkers = smaller(most, round_up(shape.rows, pack));
  return sums_bytes<Norm>(shape, chunks > walkers ? chunks : walkers);
}

template <class Norm>
size_t backward_strided_scratch(const void* p, int32_t) {
  const auto& a = *static_cast<const typename Norm::BackwardArgs*>(p);
  if (!wants_sums<Norm>(a)) return 0;
  const Shape shape = shape_of(a.src, a.normalized_rank);
  return sums_bytes<Norm>(shape, tile(shape, strided_threads(shape.n)).chunks);
}

// grad, src and grad_src, or src again where that is not wanted.
template <class Args>
Walk<3> backward_space(const Args& a, int begin, int end) {
  const polyops_tensor* out = polyops_is_present(&a.grad_src) ? &a.grad_src : &a.src;
  return make_walk<3>({&a.grad_dst, &a.src, out}, Order::kDimensions, begin, end);
}

// Of all three tensors.
template <class Norm, class T, class P>
bool is_aligned(const BackwardCall<Norm, T, P>& call) {
  return !call.ragged && rows_aligned(call.rows, 2, call.grad_src, kPack<T>);
}

template <class Norm, class T, class P>
void set_steps(BackwardCall<Norm, T, P>* call) {
  call->one_step = call->rows.rank == 1 && is_aligned(*call);
  for (int t = 0; t < 3; ++t) {
    const int64_t bytes = call->rows.strides[t][0] * int64_t{sizeof(T)};
    call->step[t] = static_cast<uint32_t>(bytes);
    call->one_step = call->one_step && call->step[t] == bytes;
  }
}

template <class Norm, class T, class P>
BackwardCall<Norm, T, P> make_backward(const typename Norm::BackwardArgs& a, const Shape& shape,
                                       const polyops_context* ctx) {
  BackwardCall<Norm, T, P> call = {
      static_cast<const T*>(a.grad_dst.data),
      static_cast<const T*>(a.src.data),
      polyops_is_present(&a.grad_src) ? static_cast<T*>(a.grad_src.data) : nullptr,
      parameters<P>(a.weight),
      values_of(Norm::mean(a)),
      values_of(a.rstd),
      wants_sums<Norm>(a) ? static_cast<float*>(ctx->scratch) : nullptr,
      sums_stride(shape),
      backward_space(a, 0, shape.first_normalized),
      {},
      false,
      static_cast<int32_t>(shape.rows),
      static_cast<int32_t>(shape.n),
      1 / static_cast<float>(shape.n),
      false,
      0,
      0,
      {1, 1, 1, 0, 1}};
  call.ragged = shape.n % kPack<T> != 0 || !rows_aligned(call.rows, 0, a.grad_dst.data, kPack<T>) ||
                !rows_aligned(call.rows, 1, a.src.data, kPack<T>);
  set_steps(&call);
  return call;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_BACKWARD_CALL_H_
