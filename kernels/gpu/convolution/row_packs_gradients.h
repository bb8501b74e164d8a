// All gradients of what row_packs.h convolves in one pass. Bound: memory, input and gradient of the
// results read once, gradient of the input written once.
//
// What the gradient of an input's element is made of, some neighbouring gradients of results, are
// also the factors that the element has in the sums for the filter's taps. A thread has a pack of
// the input where 16 aligned bytes are; the gradients begin anywhere, and it reads the words that
// they lie in.
#ifndef POLYOPS_GPU_CONVOLUTION_ROW_PACKS_GRADIENTS_H_
#define POLYOPS_GPU_CONVOLUTION_ROW_PACKS_GRADIENTS_H_

#include "row_packs_sums.h"

namespace polyops::gpu {
namespace {

constexpr int kRowGradientsPacks = 2;  // of a thread that are on their way

template <class T>
struct RowGradientsCall {
  Shape shape;  // turned: it reads gradients and results in elements of the input
  const T* grad;
  const T* src;
  T* dst;
  Taps<T> taps;  // turned
  Sums<T> sums;
  Division packs;            // of a row; the last may be empty
  int32_t count, per_split;  // packs of a channel, of a block
};

// A pack of a row, and the gradients that it meets: kCount from `low` on.
template <class W, class T>
struct RowGradientsPack {
  static constexpr int kCount = kPack<T> + W::kW - 1;
  static constexpr int kHalves = 4 / static_cast<int>(sizeof(T));  // elements of a word
  static constexpr int kWords = (kCount + kHalves - 1 + kHalves - 1) / kHalves;
  const T *grad, *src;  // rows
  T* dst;
  int32_t first, low;
  bool inside;  // of both rows, as a whole
  Words own;
  uint32_t words[kWords];

  GPU_DEVICE void load(const RowGradientsCall<T>& call, int32_t index, int32_t channel) {
    const Axis& w = call.shape.w;
    auto rest = static_cast<uint32_t>(index);
    const auto pack = static_cast<int32_t>(take_remainder(call.packs, &rest));
    const int64_t plane = int64_t{rest} * call.shape.channels + channel;
    grad = call.grad + plane * w.in;
    src = call.src + plane * w.out;
    dst = call.dst + plane * w.out;
    first = pack * kPack<T> - misplaced(src);
    low = first - w.padding;
    inside = first >= 0 && first + kPack<T> <= w.out && low >= 0 && low + kCount <= w.in;
    if (!inside) return;
    own = load_words(src + first);
    const T* const from = grad + (low - odd());
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      // The last one may be needed only where the first gradient is behind a word: else it may lie
      // behind the tensor.
      words[i] = 0;
      if (i * kHalves < kCount || odd() != 0) {
        words[i] = reinterpret_cast<const Word*>(from + i * kHalves)->w;
      }
    }
  }
  // Elements by which the first gradient is behind a word.
  GPU_DEVICE int odd() const { return misplaced(grad + low) % kHalves; }

  GPU_DEVICE void get(float (&grads)[kCount]) const {
    const int shift = odd() * 16;
#pragma unroll
    for (int i = 0; i < kCount; i += kHalves) {
      if constexpr (kHalves == 1) {
        grads[i] = float_of_bits(words[i]);
      } else {
        const int word = i / 2, next = word + 1 < kWords ? word + 1 : word;
        float low_half, high_half;
        widen2<T>(funnel_right(words[word], words[next], shift), &low_half, &high_half);
        grads[i] = low_half;
        if (i + 1 < kCount) grads[i + 1] = high_half;
      }
    }
  }
  GPU_DEVICE void finish(const float (&w)[W::kTaps], float (&sums)[W::kTaps + 1], int32_t padding) {
    float grads[kCount], values[kPack<T>], results[kPack<T>];
    get(grads);
    unpack<T>(own, values);
#pragma unroll
    for (int r = 0; r < kPack<T>; ++r) {
      results[r] = 0;
#pragma unroll
      for (int j = 0; j < W::kW; ++j) {
        results[r] = fmaf(grads[r + j], w[j], results[r]);
        sums[j] = fmaf(values[r], grads[r + j], sums[j]);
      }
    }
    store_words(dst + first, pack<T>(results));
    // Each gradient once, whose place is that of an own element. The padding is no constant.
#pragma unroll
    for (int j = 0; j < W::kW; ++j) {
      if (j != padding) continue;
#pragma unroll
      for (int r = 0; r < kPack<T>; ++r) sums[W::kTaps] += grads[r + j];
    }
  }
  // Where the pack or its gradients are not all in their rows: what is not is skipped, not
  // multiplied by 0, as the other factor may be infinite.
  GPU_DEVICE void finish_at_end(const Axis& axis, const float (&w)[W::kTaps],
                                float (&sums)[W::kTaps + 1]) {
    float grads[kCount];
    const auto has_grad = [&](int k) {
      return static_cast<uint32_t>(low + k) < static_cast<uint32_t>(axis.in);
    };
#pragma unroll
    for (int k = 0; k < kCount; ++k) grads[k] = has_grad(k) ? widen(grad[low + k]) : 0.0f;
#pragma unroll
    for (int j = 0; j < W::kW; ++j) {
      if (j != axis.padding) continue;
#pragma unroll
      for (int r = 0; r < kPack<T>; ++r) sums[W::kTaps] += grads[r + j];
    }
#pragma unroll
    for (int r = 0; r < kPack<T>; ++r) {
      if (static_cast<uint32_t>(first + r) >= static_cast<uint32_t>(axis.out)) continue;
      const float value = widen(src[first + r]);
      float result = 0;
#pragma unroll
      for (int j = 0; j < W::kW; ++j) {
        result = fmaf(grads[r + j], w[j], result);
        if (has_grad(r + j)) sums[j] = fmaf(value, grads[r + j], sums[j]);
      }
      dst[first + r] = narrow<T>(result);
    }
  }
};

template <class W, class T>
GPU_KERNEL(kRowSumsThreads, 6)
gradients_of_row_packs(RowGradientsCall<T> call) {
  await_earlier();
  GPU_SHARED(float, shared, (W::kTaps + 1) * kMostWaves);
  const Shape& s = call.shape;
  const SplitOfChannel own(s.channels);
  const int32_t split = own.split, channel = own.channel;
  const int32_t begin = split * call.per_split;
  const int32_t end = Tile::least(begin + call.per_split, call.count);
  float w[W::kTaps], sums[W::kTaps + 1] = {};
  load_taps<W>(call.taps, channel, w);
#pragma unroll 1
  for (int32_t base = begin + thread_id(); base < end;
       base += kRowSumsThreads * kRowGradientsPacks) {
    RowGradientsPack<W, T> packs[kRowGradientsPacks];
#pragma unroll
    for (int i = 0; i < kRowGradientsPacks; ++i) {
      const int32_t index = base + i * kRowSumsThreads;
      if (index < end) packs[i].load(call, index, channel);
    }
#pragma unroll
    for (int i = 0; i < kRowGradientsPacks; ++i) {
      if (base + i * kRowSumsThreads >= end) break;
      if (packs[i].inside) {
        packs[i].finish(w, sums, s.w.padding);
      } else {
        packs[i].finish_at_end(s.w, w, sums);
      }
    }
  }
  float all[W::kTaps + 1];
#pragma unroll
  for (int i = 0; i <= W::kTaps; ++i) all[i] = sums[i == W::kTaps ? i : W::kTaps - 1 - i];
  put_sums(all, s, own, call.sums, shared);
}

// Packs reach the last element and the last gradient.
inline RowPacksGrid row_gradients_grid(const Shape& s, int per_pack) {
  const int32_t most = s.w.in > s.w.out ? s.w.in : s.w.out;
  return row_packs_grid(s, per_pack, int64_t{most} + (s.w.in % per_pack == 0 ? 0 : per_pack - 1));
}

template <class T>
int launch_row_gradients(const BackwardArgs& a, const Shape& s, const polyops_context* ctx) {
  const RowPacksGrid g = row_gradients_grid(s, kPack<T>);
  const RowGradientsCall<T> call = {turned(s),
                                    static_cast<const T*>(a.grad_dst.data),
                                    static_cast<const T*>(a.src.data),
                                    static_cast<T*>(a.grad_src.data),
                                    turned(taps_of<T>(a.weight), s),
                                    sums_of<T>(a, g.splits, ctx),
                                    Division(static_cast<uint32_t>(g.packs)),
                                    static_cast<int32_t>(g.packs * s.batch),
                                    static_cast<int32_t>(g.per_split)};
  const LaunchShape shape = {g.splits * s.channels, kRowSumsThreads};
  const int status = with_window(s, POLYOPS_DECLINED, [&]<class W>() -> int {
    if constexpr (W::kH == 1) return launch(gradients_of_row_packs<W, T>, shape, ctx, call);
    return POLYOPS_DECLINED;
  });
  return launch_add_parts(status, s, call.sums, ctx);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_CONVOLUTION_ROW_PACKS_GRADIENTS_H_
