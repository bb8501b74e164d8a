// Gradients of weight and bias of what row_packs.h convolves. Bound: memory, input and gradient
// once. A block has one channel and some packs of its gradients, in all rows; its threads add up
// their own, then each other's.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_PACKS_SUMS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_PACKS_SUMS_H_

#include "row_packs.h"
#include "strip_sums.h"

namespace polyops::gpu {
namespace {

constexpr int kRowSumsThreads = 128;
constexpr int64_t kRowSumsBlocks = kSumMultiprocessors * 10;  // that keep it busy
constexpr int64_t kLeastPacks = 4;                            // of a thread

template <class T>
struct RowPacksSumsCall {
  Shape shape;
  const T* grad;
  const T* src;
  Sums<T> sums;
  Division packs;            // of a row; the last may be empty
  int32_t count, per_split;  // packs of a channel, of a block
};

struct RowPacksGrid {
  int64_t packs, per_split, splits;
};

// reach: elements of a row up to the end of its last pack, at least.
inline RowPacksGrid row_packs_grid(const Shape& s, int per_pack, int64_t reach) {
  RowPacksGrid g;
  g.packs = ceil_div(reach, per_pack);
  const int64_t count = g.packs * s.batch, most = ceil_div(count, kRowSumsThreads * kLeastPacks);
  const int64_t splits = ceil_div(kRowSumsBlocks, s.channels);
  g.per_split = ceil_div(count, splits < most ? splits : most);
  g.splits = ceil_div(count, g.per_split);
  return g;
}
inline RowPacksGrid row_packs_grid(const Shape& s, int per_pack) {
  return row_packs_grid(s, per_pack, int64_t{s.w.out} + per_pack - 1);
}

// Adds the products of a pack of gradients. Those that the row has not are skipped, not multiplied
// by 0: what is read may be infinite. Padding is multiplied: see sum_inside().
template <class W, class T>
GPU_DEVICE void sum_row_pack(const Shape& s, const T* grad, const T* src, int32_t first,
                             float (&sums)[W::kTaps + 1]) {
  constexpr int kCount = kPack<T> + W::kW - 1;
  if (first >= s.w.out) return;
  AnyRun<kCount, T> run;
  const Words words = load_words(grad + first);
  run.load(src, s.w.in, first - s.w.padding);
  float values[kCount], grads[kPack<T>];
  run.get(src, s.w.in, first - s.w.padding, values);
  unpack<T>(words, grads);
  const bool whole = first >= 0 && first + kPack<T> <= s.w.out;
#pragma unroll
  for (int r = 0; r < kPack<T>; ++r) {
    if (!whole && static_cast<uint32_t>(first + r) >= static_cast<uint32_t>(s.w.out)) continue;
#pragma unroll
    for (int j = 0; j < W::kW; ++j) sums[j] = fmaf(values[r + j], grads[r], sums[j]);
    sums[W::kTaps] += grads[r];
  }
}

// A split's sum of a tap once more, of the results whose tap lies inside of the row alone: the
// product of an infinite gradient and padding, which sum_row_pack() adds, is NaN. Slow, but rare.
template <class T>
GPU_DEVICE float sum_inside(const RowPacksSumsCall<T>& call, int32_t begin, int32_t end,
                            int32_t channel, int32_t tap) {
  const Axis& w = call.shape.w;
  const int32_t right = tap - w.padding;
  float sum = 0;
#pragma unroll 1
  for (int32_t index = begin; index < end; ++index) {
    auto rest = static_cast<uint32_t>(index);
    const auto pack_of_row = static_cast<int32_t>(take_remainder(call.packs, &rest));
    const int64_t plane = int64_t{rest} * call.shape.channels + channel;
    const T* const grad = call.grad + plane * w.out;
    const T* const src = call.src + plane * w.in;
    const int32_t first = pack_of_row * kPack<T> - misplaced(grad);
#pragma unroll 4
    for (int32_t r = first; r < first + kPack<T>; ++r) {
      const int32_t x = r + right;
      if (r < 0 || r >= w.out || x < 0 || x >= w.in) continue;
      sum = fmaf(widen(src[x]), widen(grad[r]), sum);
    }
  }
  return sum;
}

template <class W, class T>
GPU_KERNEL(kRowSumsThreads)
sum_row_packs(RowPacksSumsCall<T> call) {
  await_earlier();
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel own(s.channels);
  const int32_t split = own.split, channel = own.channel;
  const int32_t begin = split * call.per_split;
  const int32_t end = begin + call.per_split < call.count ? begin + call.per_split : call.count;
  float sums[W::kTaps + 1] = {};
  for (int32_t index = begin + thread_id(); index < end; index += kRowSumsThreads) {
    auto rest = static_cast<uint32_t>(index);
    const auto pack_of_row = static_cast<int32_t>(take_remainder(call.packs, &rest));
    const int64_t plane = int64_t{rest} * s.channels + channel;
    const T* const grad = call.grad + plane * s.w.out;
    sum_row_pack<W>(s, grad, call.src + plane * s.w.in, pack_of_row * kPack<T> - misplaced(grad),
                    sums);
  }
  const auto mend = [&](float sum, int32_t, int32_t tap) {
    const bool is_spoilt = tap < W::kTaps && sum != sum;
    return is_spoilt ? sum_inside(call, begin, end, channel, tap) : sum;
  };
  put_sums(sums, s, own, call.sums, shared, mend);
}

template <class T>
int launch_row_packs_sums(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const RowPacksGrid g = row_packs_grid(s, kPack<T>);
  const RowPacksSumsCall<T> call = {s,
                                    static_cast<const T*>(a.grad_dst.data),
                                    static_cast<const T*>(a.src.data),
                                    sums_of<T>(a, g.splits, ctx),
                                    Division(static_cast<uint32_t>(g.packs)),
                                    static_cast<int32_t>(g.packs * s.batch),
                                    static_cast<int32_t>(g.per_split)};
  const LaunchShape shape = {g.splits * s.channels, kRowSumsThreads};
  const int status = with_window(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (W::kH == 1) return launch(sum_row_packs<W, T>, shape, ctx, call);
    return POLYOPS_DECLINED;
  });
  return launch_add_parts(status, s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_PACKS_SUMS_H_
