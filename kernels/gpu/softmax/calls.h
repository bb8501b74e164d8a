// What softmax and log_softmax share on GPUs: which calls go where. Bound: memory, 2 and 3 elements
// of traffic per element.
#ifndef POLYOPS_GPU_SOFTMAX_CALLS_H_
#define POLYOPS_GPU_SOFTMAX_CALLS_H_

#include "cluster.h"
#include "columns_kernels.h"
#include "op.h"
#include "polyops/ops/softmax.h"
#include "strided.h"
#include "turned.h"

namespace polyops::gpu {
namespace {

// The tensors of a call, inputs first.
struct Forward {
  using Args = polyops_softmax_args;
  static constexpr int kTensors = 2;
  const polyops_tensor* t[2];
  int dim;
  explicit Forward(const void* data) {
    const Args& a = *static_cast<const Args*>(data);
    t[0] = &a.src;
    t[1] = &a.dst;
    dim = a.dim;
  }
};
struct Backward {
  using Args = polyops_softmax_backward_args;
  static constexpr int kTensors = 3;
  const polyops_tensor* t[3];
  int dim;
  explicit Backward(const void* data) {
    const Args& a = *static_cast<const Args*>(data);
    t[0] = &a.grad_dst;
    t[1] = &a.dst;
    t[2] = &a.grad_src;
    dim = a.dim;
  }
};

bool is_half(int32_t dtype) { return dtype == POLYOPS_BFLOAT16 || dtype == POLYOPS_FLOAT16; }

// All tensors of one dtype, or float32 and, where src lies or its gradient goes, 16 bits.
template <class Call>
bool has_types(const Call& call) {
  const int32_t first = call.t[0]->dtype, last = call.t[Call::kTensors - 1]->dtype;
  for (int t = 1; t + 1 < Call::kTensors; ++t) {
    if (call.t[t]->dtype != first) return false;
  }
  if (last == first) return has_type(first);
  const bool forward = Call::kTensors == 2;
  return is_half(forward ? first : last) && (forward ? last : first) == POLYOPS_FLOAT32;
}

// Calls f.operator()<T, U>() for the types of what the call reads and writes.
template <class Call, class F>
int with_types(const Call& call, F f) {
  const int32_t first = call.t[0]->dtype, last = call.t[Call::kTensors - 1]->dtype;
  if (first == last) {
    return with_type(first, [&]<class T>() { return f.template operator()<T, T>(); });
  }
  const bool is_bf16 = first == POLYOPS_BFLOAT16 || last == POLYOPS_BFLOAT16;
  if constexpr (Call::kTensors == 2) {
    if (is_bf16) return f.template operator()<bf16, float>();
    return f.template operator()<f16, float>();
  } else {
    if (is_bf16) return f.template operator()<float, bf16>();
    return f.template operator()<float, f16>();
  }
}

template <class Call>
const char* supports(const Call& call) {
  if (!has_types(call)) return "dtype";
  const polyops_tensor& first = *call.t[0];
  const int64_t n = first.sizes[call.dim];
  return n > kMostElements || polyops_numel(&first) / n > kMostElements ? "size" : nullptr;
}

template <class Call>
const char* strided_supports(const void* data) {
  return supports(Call(data));
}

template <class Call>
const char* lastdim_supports(const void* data) {
  const Call call(data);
  if (const char* reason = supports(call)) return reason;
  return unit_stride(call.t, call.dim) ? nullptr : "layout";
}

template <class Call>
const char* inner_supports(const void* data) {
  const Call call(data);
  if (const char* reason = supports(call)) return reason;
  return walk_columns(call.t, call.dim).width > 0 ? nullptr : "layout";
}

const char* turned_supports(const void* data) {
  const Forward call(data);
  if (const char* reason = supports(call)) return reason;
  return turned_columns(call.t, call.dim).columns.width > 0 ? nullptr : "layout";
}

template <class T>
const T* input(const polyops_tensor* t) {
  return static_cast<const T*>(t->data);
}
template <class T>
T* output(const polyops_tensor* t) {
  return static_cast<T*>(t->data);
}

template <class Op, class Call>
int lastdim(const void* data, const polyops_context* ctx) {
  const Call call(data);
  constexpr int N = Call::kTensors;
  return with_types(call, [&]<class T, class U>() {
    const Walk<N> walk = walk_rows(call.t, call.dim);
    const auto rows = static_cast<uint32_t>(walk.numel());
    const int n = static_cast<int>(call.t[0]->sizes[call.dim]);
    const bool ragged = n % kPack<T> != 0 || !rows_aligned(walk, 0, call.t[0]->data, kPack<T>);
    if constexpr (N == 2) {
      return launch_rows<Op, T, U>(
          {input<T>(call.t[0]), output<U>(call.t[1]), walk, rows, n, ragged}, ctx);
    } else {
      return launch_backward_rows<Op, T, U>(
          {input<T>(call.t[0]), input<T>(call.t[1]), output<U>(call.t[2]), walk, rows, n, ragged},
          ctx);
    }
  });
}

// With kWide columns to a thread.
template <class Op, class T, class U, int kWide, class Call>
int launch_columns(const Call& call, const polyops_context* ctx) {
  constexpr int N = Call::kTensors;
  constexpr int kRows = N == 2 ? kColumnRows<T, kWide> : kGradientRows<T, kWide>;
  constexpr int kNarrowest = kWide == 1 ? 5 : sizeof(T) == 4 ? 1 : 2;
  constexpr ColumnNeeds kNeeds = {kWide,
                                  kRows,
                                  (N - 1) * sizeof(Piece<T, kWide>),
                                  N == 2 ? sizeof(MaxSum) : sizeof(float),
                                  kNarrowest,
                                  kWide == 1 ? kNarrowest : kNarrowest + 2};
  Tiles<N> tiles = {};
  tiles.n = static_cast<int>(call.t[0]->sizes[call.dim]);
  for (int t = 0; t < N; ++t) tiles.strides[t] = call.t[t]->strides[call.dim];
  const LaunchShape shape = choose_tile(walk_columns(call.t, call.dim), ctx, kNeeds, &tiles);
  if constexpr (N == 2) {
    const ForwardTiles<T, U> p = {input<T>(call.t[0]), output<U>(call.t[1]), tiles};
    return gpu::launch(softmax_columns<Op, T, U, kWide>, shape, ctx, p);
  } else {
    const BackwardTiles<T, U> p = {input<T>(call.t[0]), input<T>(call.t[1]), output<U>(call.t[2]),
                                   tiles};
    return gpu::launch(softmax_backward_columns<Op, T, U, kWide>, shape, ctx, p);
  }
}

template <class Op, class Call>
int inner(const void* data, const polyops_context* ctx) {
  const Call call(data);
  constexpr int N = Call::kTensors;
  return with_types(call, [&]<class T, class U>() {
    const auto columns = walk_columns(call.t, call.dim);
    bool fours = columns.width % 4 == 0;
    for (int t = 0; t < N; ++t) {
      fours = fours && call.t[t]->strides[call.dim] % 4 == 0 &&
              rows_aligned(columns.outer, t, call.t[t]->data, 4);
    }
    return fours ? launch_columns<Op, T, U, 4>(call, ctx) : launch_columns<Op, T, U, 1>(call, ctx);
  });
}

template <class Op>
int turned(const void* data, const polyops_context* ctx) {
  const Forward call(data);
  return with_types(call, [&]<class T, class U>() {
    TurnedTiles<T, U> p = {};
    p.src = input<T>(call.t[0]);
    p.dst = output<U>(call.t[1]);
    const LaunchShape shape = choose_turned(turned_columns(call.t, call.dim),
                                            static_cast<int>(call.t[0]->sizes[call.dim]),
                                            call.t[0]->strides[call.dim], ctx, &p);
    return gpu::launch(softmax_turned<Op, T, U>, shape, ctx, p);
  });
}

template <class Op, class T, class U>
int launch_held(const StridedRows<T, U, 2>& p, const polyops_context* ctx) {
  const int lanes = holders_of(p.n), threads = lanes > kMostOfWave ? lanes : kHeldThreads;
  const int64_t rows = p.walk.numel(), teams = threads / lanes;
  const bool full = p.n == lanes * kHeld;
  return gpu::launch(full ? softmax_held<Op, T, U, true> : softmax_held<Op, T, U, false>,
                     {(rows + teams - 1) / teams, threads}, ctx, p, static_cast<uint32_t>(rows),
                     lanes);
}

template <class Op, class Call>
int strided(const void* data, const polyops_context* ctx) {
  const Call call(data);
  constexpr int N = Call::kTensors;
  return with_types(call, [&]<class T, class U>() {
    StridedRows<T, U, N> p = {};
    p.walk = walk_rows(call.t, call.dim);
    p.n = static_cast<int>(call.t[0]->sizes[call.dim]);
    for (int t = 0; t < N; ++t) p.strides[t] = call.t[t]->strides[call.dim];
    for (int t = 0; t + 1 < N; ++t) p.in[t] = input<T>(call.t[t]);
    p.out = output<U>(call.t[N - 1]);
    if constexpr (N == 2) {
      if (is_held(p)) return launch_held<Op>(p, ctx);
    }
    const int64_t threads = (p.n + 63) / 64 * int64_t{64};
    const LaunchShape shape = {
        p.walk.numel(), static_cast<int>(threads < kStridedThreads ? threads : kStridedThreads)};
    if constexpr (N == 2) {
      return gpu::launch(softmax_strided<Op, T, U>, shape, ctx, p);
    } else {
      return gpu::launch(softmax_backward_strided<Op, T, U>, shape, ctx, p);
    }
  });
}

}  // namespace
}  // namespace polyops::gpu

// The kernels of an op and of its gradient, in the order in which they are tried.
#define POLYOPS_GPU_SOFTMAX_ROWS(op, Op, Call)                                                 \
  POLYOPS_GPU_KERNEL(op, op "_lastdim", lastdim_supports<Call>, nullptr, (lastdim<Op, Call>)), \
      POLYOPS_GPU_KERNEL(op, op "_inner", inner_supports<Call>, nullptr, (inner<Op, Call>))
#define POLYOPS_GPU_SOFTMAX_STRIDED(op, Op, Call) \
  POLYOPS_GPU_KERNEL(op, op "_strided", strided_supports<Call>, nullptr, (strided<Op, Call>))
#define POLYOPS_GPU_SOFTMAX(op, Op)                                                 \
  POLYOPS_GPU_SOFTMAX_ROWS(op, Op, Forward),                                        \
      POLYOPS_GPU_KERNEL(op, op "_turned", turned_supports, nullptr, (turned<Op>)), \
      POLYOPS_GPU_SOFTMAX_STRIDED(op, Op, Forward),                                 \
      POLYOPS_GPU_SOFTMAX_ROWS(op "_backward", Op, Backward),                       \
      POLYOPS_GPU_SOFTMAX_STRIDED(op "_backward", Op, Backward)

#endif  // POLYOPS_GPU_SOFTMAX_CALLS_H_
