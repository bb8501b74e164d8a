// What elementwise ops share: an op brings one function over dense runs; here dimensions are put in
// the order of memory, merged where no operand has a gap, and split among threads. Operands that
// are not dense along the innermost dimension pass through small buffers in L1, so that every op
// has one inner loop and layouts cost only the copies.
//
// An op is a type with
//   using Args; static constexpr int kInputs;
//   static void tensors(const Args&, const polyops_tensor** t)   inputs, then the output
//   template <class E> static void run(const Args&, const E* const* in, E* out, int64_t n)
// and run must work when out is exactly one of the inputs.
#ifndef POLYOPS_CPU_ELEMENTWISE_H_
#define POLYOPS_CPU_ELEMENTWISE_H_

#include <cstdint>

#include "parallel.h"
#include "polyops/abi.h"
#include "simd/simd.h"
#include "walk.h"

namespace polyops::cpu {
namespace {

// ---- Loops that run functions are made of.

template <class E>
struct VectorOf {
  using Type = F32;
};
#if defined(POLYOPS_ISA_SCALAR)
template <>
struct VectorOf<double> {
  using Type = F64;
};
#endif

// Pairs of vectors loaded before the first is stored, for the reason of fill_with (simd/sweep.h).
constexpr int kTogether = 4;

// out[i] = f(in[0][i]), f from vector to vector.
template <class E, class F>
inline void map1(const E* const* in, E* out, int64_t n, F f) {
  using V = typename VectorOf<E>::Type;
  const E* a = in[0];
  int64_t i = 0;
  for (; i + kTogether * 2 * V::kLanes <= n; i += kTogether * 2 * V::kLanes) {
    Pair<V> x[kTogether];
#pragma GCC unroll 8
    for (int u = 0; u < kTogether; ++u) x[u] = load_pair(a + i + u * 2 * V::kLanes);
#pragma GCC unroll 8
    for (int u = 0; u < kTogether; ++u) {
      store_pair(out + i + u * 2 * V::kLanes, Pair<V>{f(x[u].first), f(x[u].second)});
    }
  }
  for (; i < n; i += V::kLanes) {
    store_partial(out + i, f(load_partial<V>(a + i, n - i)), n - i);
  }
}

// out[i] = f(in[0][i], in[1][i])
template <class E, class F>
inline void map2(const E* const* in, E* out, int64_t n, F f) {
  using V = typename VectorOf<E>::Type;
  const E *a = in[0], *b = in[1];
  int64_t i = 0;
  for (; i + kTogether * 2 * V::kLanes <= n; i += kTogether * 2 * V::kLanes) {
    Pair<V> x[kTogether], y[kTogether];
#pragma GCC unroll 8
    for (int u = 0; u < kTogether; ++u) {
      x[u] = load_pair(a + i + u * 2 * V::kLanes);
      y[u] = load_pair(b + i + u * 2 * V::kLanes);
    }
#pragma GCC unroll 8
    for (int u = 0; u < kTogether; ++u) {
      store_pair(out + i + u * 2 * V::kLanes,
                 Pair<V>{f(x[u].first, y[u].first), f(x[u].second, y[u].second)});
    }
  }
  for (; i < n; i += V::kLanes) {
    const V rest = f(load_partial<V>(a + i, n - i), load_partial<V>(b + i, n - i));
    store_partial(out + i, rest, n - i);
  }
}

// ---- Launch.

template <class Op, class E>
struct Job {
  const typename Op::Args* args;
  const E* in[Op::kInputs];
  E* out;
  int64_t numel;
};

template <class Op, class E>
Job<Op, E> make_job(const typename Op::Args& args, const polyops_tensor* const* t) {
  Job<Op, E> job;
  job.args = &args;
  for (int k = 0; k < Op::kInputs; ++k) job.in[k] = static_cast<const E*>(t[k]->data);
  job.out = static_cast<E*>(t[Op::kInputs]->data);
  job.numel = polyops_numel(t[0]);
  return job;
}

// Threads get whole blocks, so that they do not share cache lines of an aligned output.
constexpr int64_t kBlock = 256;

template <class Op, class E>
int launch_dense(const typename Op::Args& args, const polyops_tensor* const* t,
                 const polyops_context* ctx) {
  const Job<Op, E> job = make_job<Op, E>(args, t);
  const int64_t blocks = (job.numel + kBlock - 1) / kBlock;
  const int64_t grain = kTorchGrain / kBlock;
  parallel_for(ctx, blocks, grain, [&job](int64_t begin, int64_t end, int32_t) {
    const int64_t first = begin * kBlock;
    const int64_t past = end * kBlock < job.numel ? end * kBlock : job.numel;
    const E* in[Op::kInputs];
    for (int k = 0; k < Op::kInputs; ++k) in[k] = job.in[k] + first;
    Op::run(*job.args, in, job.out + first, past - first);
  });
  return POLYOPS_OK;
}

// Elements that go through the buffers at a time: 3 operands of float64 fill 12 KB of L1.
constexpr int64_t kChunk = 512;
// Innermost dimensions shorter than this are gathered several at a time.
constexpr int64_t kShortRow = 64;

template <class Op, class E>
void strided_elements(const Job<Op, E>& job, const Walk<Op::kInputs + 1>& w, int64_t begin,
                      int64_t end) {
  constexpr int kOut = Op::kInputs;
  const int last = w.rank - 1;
  const bool short_rows = w.sizes[last] < kShortRow;
  alignas(64) E buffer[kOut + 1][kChunk];
  bool direct[kOut + 1];
  bool all_direct = true;
  for (int k = 0; k <= kOut; ++k) {
    direct[k] = !short_rows && w.strides[k][last] == 1;
    all_direct = all_direct && direct[k];
  }
  while (begin < end) {
    int64_t count = end - begin;
    const int64_t row_left = w.sizes[last] - begin % w.sizes[last];
    if (!short_rows && count > row_left) count = row_left;
    if (!all_direct && count > kChunk) count = kChunk;
    const E* in[Op::kInputs];
    for (int k = 0; k < kOut; ++k) {
      in[k] = direct[k] ? job.in[k] + offset_of(w, k, begin) : buffer[k];
      if (!direct[k]) gather(w, k, begin, count, job.in[k], buffer[k]);
    }
    E* out = direct[kOut] ? job.out + offset_of(w, kOut, begin) : buffer[kOut];
    Op::run(*job.args, in, out, count);
    if (!direct[kOut]) scatter(w, kOut, begin, count, buffer[kOut], job.out);
    begin += count;
  }
}

template <class Op, class E>
int launch_strided(const typename Op::Args& args, const polyops_tensor* const* t,
                   const polyops_context* ctx) {
  const Job<Op, E> job = make_job<Op, E>(args, t);
  const Walk<Op::kInputs + 1> walk = make_walk<Op::kInputs + 1>(t);
  parallel_for(ctx, job.numel, kTorchGrain, [&job, &walk](int64_t begin, int64_t end, int32_t) {
    strided_elements(job, walk, begin, end);
  });
  return POLYOPS_OK;
}

// Calls fn with an element of that dtype; declines the dtypes that this ISA has no kernels for.
template <class Fn>
inline int with_element(int32_t dtype, Fn fn) {
  switch (dtype) {
    case POLYOPS_FLOAT32:
      return fn(float{});
    case POLYOPS_BFLOAT16:
      return fn(bf16{});
    case POLYOPS_FLOAT16:
      return fn(f16{});
#if defined(POLYOPS_ISA_SCALAR)
    case POLYOPS_FLOAT64:
      return fn(double{});
#endif
    default:
      return POLYOPS_DECLINED;
  }
}

// What an op's table names: supports_contiguous with launch_contiguous, supports_any with
// launch_any.

template <class Op>
struct Elementwise {
  using Args = typename Op::Args;
  static constexpr int kOperands = Op::kInputs + 1;

  static const char* supports_any(const void* untyped) {
    const polyops_tensor* t[kOperands];
    Op::tensors(*static_cast<const Args*>(untyped), t);
    for (int k = 0; k < kOperands; ++k) {
      if (t[k]->dtype != t[0]->dtype) return "dtype";
      if (t[k]->rank != t[0]->rank || t[k]->rank < 0) return "rank";
      for (int d = 0; d < t[0]->rank; ++d) {
        if (t[k]->sizes[d] != t[0]->sizes[d]) return "shape";
      }
    }
    const int known = with_element(t[0]->dtype, [](auto) { return POLYOPS_OK; });
    return known == POLYOPS_OK ? nullptr : "dtype";
  }

  // All operands dense in the same order of dimensions.
  static const char* supports_contiguous(const void* untyped) {
    if (const char* reason = supports_any(untyped)) return reason;
    const polyops_tensor* t[kOperands];
    Op::tensors(*static_cast<const Args*>(untyped), t);
    bool row_major = true;
    for (int k = 0; k < kOperands; ++k) row_major = row_major && polyops_is_contiguous(t[k]);
    return row_major || make_walk<kOperands>(t).all_dense() ? nullptr : "layout";
  }

  static int launch_contiguous(const void* untyped, const polyops_context* ctx) {
    const auto& args = *static_cast<const Args*>(untyped);
    const polyops_tensor* t[kOperands];
    Op::tensors(args, t);
    const auto launch = [&](auto e) { return launch_dense<Op, decltype(e)>(args, t, ctx); };
    return with_element(t[0]->dtype, launch);
  }

  static int launch_any(const void* untyped, const polyops_context* ctx) {
    const auto& args = *static_cast<const Args*>(untyped);
    const polyops_tensor* t[kOperands];
    Op::tensors(args, t);
    const auto launch = [&](auto e) { return launch_strided<Op, decltype(e)>(args, t, ctx); };
    return with_element(t[0]->dtype, launch);
  }
};

}  // namespace
}  // namespace polyops::cpu

#endif  // POLYOPS_CPU_ELEMENTWISE_H_
