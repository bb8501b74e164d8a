// softmax and softmax_backward on GPUs: which calls go where. Bound: memory, 2 and 3 elements of
// traffic per element.
#include "backward.h"
#include "columns_kernels.h"
#include "forward.h"
#include "polyops/ops/softmax.h"
#include "strided.h"
#include "table.h"

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

template <class Call>
const char* supports(const Call& call) {
  const polyops_tensor& first = *call.t[0];
  if (!has_type(first.dtype)) return "dtype";
  for (const polyops_tensor* t : call.t) {
    if (t->dtype != first.dtype) return "dtype";
  }
  const int64_t n = first.sizes[call.dim];
  return n > kMostElements || polyops_numel(&first) / n > kMostRows ? "size" : nullptr;
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

template <class T>
const T* input(const polyops_tensor* t) {
  return static_cast<const T*>(t->data);
}
template <class T>
T* output(const polyops_tensor* t) {
  return static_cast<T*>(t->data);
}

template <class Call>
int lastdim(const void* data, const polyops_context* ctx) {
  const Call call(data);
  constexpr int N = Call::kTensors;
  return with_type(call.t[0]->dtype, [&]<class T>() {
    const Walk<N> walk = walk_rows(call.t, call.dim);
    const auto rows = static_cast<uint32_t>(walk.numel());
    const int n = static_cast<int>(call.t[0]->sizes[call.dim]);
    const bool ragged = n % kPack<T> != 0 || !rows_aligned<T>(walk, 0, call.t[0]->data);
    if constexpr (N == 2) {
      return launch_rows<T>({input<T>(call.t[0]), output<T>(call.t[1]), walk, rows, n, ragged, 0},
                            ctx);
    } else {
      return launch_backward_rows<T>({input<T>(call.t[0]), input<T>(call.t[1]),
                                      output<T>(call.t[2]), walk, rows, n, ragged, 0},
                                     ctx);
    }
  });
}

// With kWide columns to a thread.
template <class T, int kWide, class Call>
int launch_columns(const Call& call, const polyops_context* ctx) {
  constexpr int N = Call::kTensors;
  Tiles<N> tiles = {};
  tiles.n = static_cast<int>(call.t[0]->sizes[call.dim]);
  for (int t = 0; t < N; ++t) tiles.strides[t] = call.t[t]->strides[call.dim];
  const auto columns = walk_columns(call.t, call.dim);
  if constexpr (N == 2) {
    const LaunchShape shape =
        choose_tile(columns, ctx, kWide, kColumnRows<kWide>, sizeof(Piece<T, kWide>), &tiles);
    const ForwardTiles<T> p = {input<T>(call.t[0]), output<T>(call.t[1]), tiles};
    return gpu::launch(softmax_columns<T, kWide>, shape, ctx, p);
  } else {
    const LaunchShape shape =
        choose_tile(columns, ctx, kWide, kGradientRows<kWide>, 2 * sizeof(Piece<T, kWide>), &tiles);
    const BackwardTiles<T> p = {input<T>(call.t[0]), input<T>(call.t[1]), output<T>(call.t[2]),
                                tiles};
    return gpu::launch(softmax_backward_columns<T, kWide>, shape, ctx, p);
  }
}

template <class Call>
int inner(const void* data, const polyops_context* ctx) {
  const Call call(data);
  constexpr int N = Call::kTensors;
  return with_type(call.t[0]->dtype, [&]<class T>() {
    const auto columns = walk_columns(call.t, call.dim);
    bool packs = columns.width % kPack<T> == 0;
    for (int t = 0; t < N; ++t) {
      packs = packs && call.t[t]->strides[call.dim] % kPack<T> == 0 &&
              rows_aligned<T>(columns.outer, t, call.t[t]->data);
    }
    return packs ? launch_columns<T, kPack<T>>(call, ctx) : launch_columns<T, 1>(call, ctx);
  });
}

template <class Call>
int strided(const void* data, const polyops_context* ctx) {
  const Call call(data);
  constexpr int N = Call::kTensors;
  return with_type(call.t[0]->dtype, [&]<class T>() {
    StridedRows<T, N> p = {};
    p.walk = walk_rows(call.t, call.dim);
    p.n = static_cast<int>(call.t[0]->sizes[call.dim]);
    for (int t = 0; t < N; ++t) p.strides[t] = call.t[t]->strides[call.dim];
    for (int t = 0; t + 1 < N; ++t) p.in[t] = input<T>(call.t[t]);
    p.out = output<T>(call.t[N - 1]);
    const int64_t threads = (p.n + 63) / 64 * int64_t{64};
    const LaunchShape shape = {
        p.walk.numel(), static_cast<int>(threads < kStridedThreads ? threads : kStridedThreads)};
    if constexpr (N == 2) {
      return gpu::launch(softmax_strided<T>, shape, ctx, p);
    } else {
      return gpu::launch(softmax_backward_strided<T>, shape, ctx, p);
    }
  });
}

}  // namespace
}  // namespace polyops::gpu

#define SOFTMAX(op, name, Call)                                                           \
  POLYOPS_GPU_KERNEL(op, name "lastdim", lastdim_supports<Call>, nullptr, lastdim<Call>), \
      POLYOPS_GPU_KERNEL(op, name "inner", inner_supports<Call>, nullptr, inner<Call>),   \
      POLYOPS_GPU_KERNEL(op, name "strided", strided_supports<Call>, nullptr, strided<Call>)

POLYOPS_GPU_KERNELS(softmax, SOFTMAX("softmax", "softmax_", Forward),
                    SOFTMAX("softmax_backward", "softmax_backward_", Backward))
