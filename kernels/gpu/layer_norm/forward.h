// layer_norm of rows whose elements lie next to each other. Bound: memory, one read and one write.
//
// A row's packs stay in registers as they came (16 bits are widened in each of the passes: 13
// instructions per element of the 27 that fit beside its bytes at 4.3 TB/s), so 64 bytes of loads in
// flight per lane cost 16 registers. Rows of up to 128 packs share a block, others have one of their
// own; beyond kPacks of every lane, forward_long.h.
#ifndef POLYOPS_GPU_LAYER_NORM_FORWARD_H_
#define POLYOPS_GPU_LAYER_NORM_FORWARD_H_

#include "moments.h"
#include "polyops/ops/layer_norm.h"

namespace polyops::gpu {
namespace {

constexpr int kForwardThreads = 1024;  // at most: 64 registers
constexpr int kShortThreads = 256;     // of blocks whose teams are parts of waves

// P: of weight and bias, null if absent.
template <class T, class P>
struct ForwardCall {
  const T* src;
  T* dst;
  const P* weight;
  const P* bias;
  Values mean, rstd;
  Space<2> rows;
  int32_t row_count, n;
  float inv_n, eps;
};

template <class T, class P>
GPU_DEVICE void store_moments(const ForwardCall<T, P>& call, int64_t row, const Moments& m) {
  store_value<T>(call.mean, row, m.mean());
  store_value<T>(call.rstd, row, m.rstd());
}

template <class T, class P, int kPacks>
GPU_DEVICE void store_normalized(const ForwardCall<T, P>& call, const Words (&x)[kPacks],
                                 const Moments& m, T* dst, const Cut& cut, int first, int step) {
#pragma unroll
  for (int k = 0; k < kPacks; ++k) {
    const int32_t pack = forgotten(first + k * step);
    if (cut.first(pack) >= cut.n) break;
    float y[kPack<T>];
    normalize<T>(x[k], m, call.weight, call.bias, cut, pack, y);
    store_pack(dst, cut, pack, y);
  }
}

template <class T, class P, int kPacks>
GPU_KERNEL(kForwardThreads)
forward_rows(ForwardCall<T, P> call, int team) {
  GPU_SHARED(float, shared, 3 * kMostWaves);
  const int lane = thread_id() % team;
  const int64_t row = block_id() * (block_threads() / team) + thread_id() / team;
  const bool ours = row < call.row_count;
  int64_t at[2];
  call.rows.offsets(ours ? row : 0, at);  // all lanes come to the sums
  const T* src = call.src + at[0];
  const Cut cut = {call.n, misplaced(src), kPack<T>};
  Words x[kPacks];
  load_row<kPacks, T>(Window<T, kPack<T>>(src, cut), lane, team, x);
  const Moments m = row_moments<T>(x, cut, lane, team, shared, call.inv_n, call.eps);
  if (!ours) return;
  if (lane == 0) store_moments(call, row, m);
  store_normalized(call, x, m, call.dst + at[1], cut, lane, team);
}

template <class T, class P>
ForwardCall<T, P> make_forward(const polyops_layer_norm_args& a, const Shape& shape) {
  return {static_cast<const T*>(a.src.data),
          static_cast<T*>(a.dst.data),
          parameters<P>(a.weight),
          parameters<P>(a.bias),
          values_of(a.mean),
          values_of(a.rstd),
          make_space<2>({&a.src, &a.dst}, 0, shape.first_normalized),
          static_cast<int32_t>(shape.rows),
          static_cast<int32_t>(shape.n),
          1 / static_cast<float>(shape.n),
          static_cast<float>(a.eps)};
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_LAYER_NORM_FORWARD_H_
