// What the names of gpu/gpu.h mean to CUDA.
#ifndef POLYOPS_CUDA_PLATFORM_H_
#define POLYOPS_CUDA_PLATFORM_H_

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <type_traits>

#include "runtime.h"

#define GPU_KERNEL(...) __global__ void __launch_bounds__(__VA_ARGS__)
#define GPU_DEVICE __device__ __forceinline__
#define GPU_CONSTANT __grid_constant__
#define GPU_SHARED(T, name, count) __shared__ T name[count]
#define GPU_DYNAMIC_SHARED(T, name)                     \
  extern __shared__ uint4 polyops_gpu_dynamic_shared[]; \
  T* const name = reinterpret_cast<T*>(polyops_gpu_dynamic_shared)

namespace polyops::gpu {
namespace {

GPU_DEVICE int thread_id() { return static_cast<int>(threadIdx.x); }
GPU_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
GPU_DEVICE int64_t block_id() { return blockIdx.x; }
GPU_DEVICE int64_t grid_blocks() { return gridDim.x; }
GPU_DEVICE constexpr int wave_size() { return 32; }

GPU_DEVICE void barrier() { __syncthreads(); }
GPU_DEVICE void team_barrier(int team, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(team + 1), "r"(threads) : "memory");
}

GPU_DEVICE uint32_t address_of(const void* shared) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(shared));
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
constexpr bool kHasClusters = true;
GPU_DEVICE int cluster_blocks() {
  uint32_t n;
  asm("mov.u32 %0, %%cluster_nctarank;" : "=r"(n));
  return static_cast<int>(n);
}
GPU_DEVICE int cluster_rank() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}
GPU_DEVICE void cluster_barrier() {
  asm volatile(
      "barrier.cluster.arrive.release.aligned;\n"
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}
GPU_DEVICE void cluster_arrive() {
  asm volatile("barrier.cluster.arrive.relaxed.aligned;" ::: "memory");
}
GPU_DEVICE void cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire.aligned;" ::: "memory");
}
GPU_DEVICE void cluster_send(float* place, int rank, float x) {
  asm volatile(
      "{\n"
      ".reg .b32 there;\n"
      "mapa.shared::cluster.u32 there, %0, %1;\n"
      "st.shared::cluster.f32 [there], %2;\n"
      "}" ::"r"(address_of(place)),
      "r"(rank), "f"(x)
      : "memory");
}
// By thread 0, one after the other. Where lanes open one each, nvcc 13.0 notes the address for
// tools at a NOP that all lanes pass, in a register that the others have not set: what is there
// racecheck takes for an mbarrier that they write, in another block's memory.
GPU_DEVICE void open_mbarrier(uint64_t* barrier, int threads) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(address_of(barrier)), "r"(threads)
               : "memory");
}
// Of the turns that are even and odd: whoever is a turn ahead counts in the other one.
struct Mailbox {
  uint64_t turns[2];  // mbarriers
};
GPU_DEVICE void open_mailbox(Mailbox* box) {
  if (threadIdx.x != 0) return;
  for (uint64_t& turn : box->turns) open_mbarrier(&turn, 1);
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}
GPU_DEVICE void mail(Mailbox* box, int turn, float* place, int rank, float x) {
  asm volatile(
      "{\n"
      ".reg .b32 there, count;\n"
      "mapa.shared::cluster.u32 there, %0, %2;\n"
      "mapa.shared::cluster.u32 count, %1, %2;\n"
      "st.async.shared::cluster.mbarrier::complete_tx::bytes.b32 [there], %3, [count];\n"
      "}" ::"r"(address_of(place)),
      "r"(address_of(&box->turns[turn % 2])), "r"(rank), "r"(__float_as_uint(x))
      : "memory");
}
// What is mailed is in this block's own memory when it is counted there; to acquire it from the
// whole cluster drops the first-level cache.
GPU_DEVICE void await_mail(Mailbox* box, int turn, int values) {
  const uint32_t at = address_of(&box->turns[turn % 2]);
  if (threadIdx.x == 0) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(at),
                 "r"(values * static_cast<int>(sizeof(float)))
                 : "memory");
  }
  uint32_t done;
  do {
    asm volatile(
        "{\n"
        ".reg .pred arrived;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 arrived, [%1], %2;\n"
        "selp.u32 %0, 1, 0, arrived;\n"
        "}"
        : "=r"(done)
        : "r"(at), "r"(turn / 2 % 2)
        : "memory");
  } while (done == 0);
}
struct Arrival {
  uint64_t turn;  // mbarrier
};
GPU_DEVICE void open_arrivals(Arrival* arrivals, int count) {
  if (threadIdx.x == 0) {
#pragma unroll 1
    for (int i = 0; i < count; ++i) open_mbarrier(&arrivals[i].turn, 1);
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  }
  __syncthreads();
}
GPU_DEVICE void expect_runs(Arrival* arrival, int bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(address_of(&arrival->turn)),
      "r"(bytes)
      : "memory");
}
GPU_DEVICE void copy_run_later(Arrival* arrival, void* to, const void* from, int bytes) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(address_of(to)),
      "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(address_of(&arrival->turn))
      : "memory");
}
GPU_DEVICE void await_mbarrier(const uint64_t* barrier, int turn) {
  uint32_t done;
  do {
    asm volatile(
        "{\n"
        ".reg .pred complete;\n"
        "mbarrier.try_wait.parity.shared::cta.b64 complete, [%1], %2;\n"
        "selp.u32 %0, 1, 0, complete;\n"
        "}"
        : "=r"(done)
        : "r"(address_of(barrier)), "r"(turn & 1)
        : "memory");
  } while (done == 0);
}
GPU_DEVICE void await_runs(const Arrival* arrival, int turn) {
  await_mbarrier(&arrival->turn, turn);
}
struct Departures {
  uint64_t turn;  // mbarrier
};
GPU_DEVICE void open_departures(Departures* departures, int count, int threads) {
  if (threadIdx.x != 0) return;
  for (int i = 0; i < count; ++i) open_mbarrier(&departures[i].turn, threads);
}
GPU_DEVICE void depart(Departures* departures, bool counts = true) {
  if (!counts) return;
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(address_of(&departures->turn))
               : "memory");
}
GPU_DEVICE void await_departures(const Departures* departures, int turn) {
  await_mbarrier(&departures->turn, turn);
}
GPU_DEVICE void before_runs() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }
#else  // no clusters: never launched as more than one block
constexpr bool kHasClusters = false;
GPU_DEVICE int cluster_blocks() { return 1; }
GPU_DEVICE int cluster_rank() { return 0; }
GPU_DEVICE void cluster_barrier() { __syncthreads(); }
GPU_DEVICE void cluster_arrive() {}
GPU_DEVICE void cluster_wait() { __syncthreads(); }
GPU_DEVICE void cluster_send(float* place, int, float x) { *place = x; }
struct Mailbox {};
GPU_DEVICE void open_mailbox(Mailbox*) {}
GPU_DEVICE void mail(Mailbox*, int, float* place, int, float x) { *place = x; }
GPU_DEVICE void await_mail(Mailbox*, int, int) { __syncthreads(); }
struct Arrival {};  // of clusters alone
GPU_DEVICE void open_arrivals(Arrival*, int) {}
GPU_DEVICE void expect_runs(Arrival*, int) {}
GPU_DEVICE void copy_run_later(Arrival*, void*, const void*, int) {}
GPU_DEVICE void await_runs(const Arrival*, int) {}
struct Departures {};
GPU_DEVICE void open_departures(Departures*, int, int) {}
GPU_DEVICE void depart(Departures*, bool = true) {}
GPU_DEVICE void await_departures(const Departures*, int) {}
GPU_DEVICE void before_runs() {}
#endif

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
GPU_DEVICE void let_later_begin() { asm volatile("griddepcontrol.launch_dependents;"); }
GPU_DEVICE void await_earlier() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#else  // each begins when the one before it has ended
GPU_DEVICE void let_later_begin() {}
GPU_DEVICE void await_earlier() {}
#endif

GPU_DEVICE float shuffle_xor(float x, int mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
GPU_DEVICE uint32_t shuffle_xor(uint32_t x, int mask) {
  return __shfl_xor_sync(0xffffffffu, x, mask);
}
GPU_DEVICE bool any_lane(bool x) { return __any_sync(0xffffffffu, x) != 0; }

struct SameLanes {
  int all, before;
};
// By a vote on each bit, of all values at a time: match.any takes one value after the other.
template <int kCount>
GPU_DEVICE void same_lanes(const uint32_t (&x)[kCount], int bits, SameLanes (&same)[kCount]) {
  __syncwarp();
  uint32_t lanes[kCount], before;
#pragma unroll
  for (int k = 0; k < kCount; ++k) lanes[k] = 0xffffffffu;
#pragma unroll 1
  for (int b = 0; b < bits; ++b) {
#pragma unroll
    for (int k = 0; k < kCount; ++k) {
      const bool bit = (x[k] >> b & 1) != 0;
      const uint32_t with = __ballot_sync(0xffffffffu, bit);
      lanes[k] &= bit ? with : ~with;
    }
  }
  asm("mov.u32 %0, %%lanemask_lt;" : "=r"(before));
#pragma unroll
  for (int k = 0; k < kCount; ++k) same[k] = {__popc(lanes[k]), __popc(lanes[k] & before)};
}
GPU_DEVICE void count_one(uint32_t* p) { atomicAdd(p, 1u); }
GPU_DEVICE uint32_t claim_bits(uint32_t* p, uint32_t bits) { return atomicOr(p, bits); }
GPU_DEVICE void wave_barrier() { __syncwarp(); }

GPU_DEVICE void load_16_once(const void* p, uint32_t (&w)[4]) {
  const uint4 all = __ldcs(static_cast<const uint4*>(p));
  w[0] = all.x, w[1] = all.y, w[2] = all.z, w[3] = all.w;
}
GPU_DEVICE void prefetch(const void* p) {
  asm volatile("prefetch.global.L2 [%0];" ::"l"(__cvta_generic_to_global(p)));
}
GPU_DEVICE void prefetch_run([[maybe_unused]] const void* p, [[maybe_unused]] int64_t bytes) {
#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 900
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(__cvta_generic_to_global(p)),
               "r"(static_cast<uint32_t>(bytes))
               : "memory");
#endif
}
// The store by name: an assignment it makes four of 4 bytes where it likes.
GPU_DEVICE void load_16(const void* p, uint32_t (&w)[4]) {
  const uint4 all = *static_cast<const uint4*>(p);
  w[0] = all.x, w[1] = all.y, w[2] = all.z, w[3] = all.w;
}
GPU_DEVICE void store_16(void* p, const uint32_t (&w)[4]) {
  asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)),
               "r"(w[0]), "r"(w[1]), "r"(w[2]), "r"(w[3])
               : "memory");
}

GPU_DEVICE void store_16_once(void* p, const uint32_t (&w)[4]) {
  __stcs(static_cast<uint4*>(p), make_uint4(w[0], w[1], w[2], w[3]));
}

GPU_DEVICE float max_or_nan(float a, float b) {
  float x;
  asm("max.NaN.f32 %0, %1, %2;" : "=f"(x) : "f"(a), "f"(b));
  return x;
}
GPU_DEVICE float min_or_nan(float a, float b) {
  float x;
  asm("min.NaN.f32 %0, %1, %2;" : "=f"(x) : "f"(a), "f"(b));
  return x;
}

// What the compiler knows of it.
GPU_DEVICE void forget_bits(uint32_t* x) { asm volatile("" : "+r"(*x)); }

GPU_DEVICE void copy_16_later(void* to, const void* from) {
  const auto shared = static_cast<uint32_t>(__cvta_generic_to_shared(to));
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared),
               "l"(__cvta_generic_to_global(from))
               : "memory");
}
GPU_DEVICE void copy_16_later(void* to, const void* from, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address_of(to)),
               "l"(__cvta_generic_to_global(from)), "r"(bytes)
               : "memory");
}
GPU_DEVICE void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kBut>
GPU_DEVICE void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kBut) : "memory");
}

GPU_DEVICE float float_of_bits(uint32_t bits) { return __uint_as_float(bits); }
GPU_DEVICE uint32_t float_bits(float x) { return __float_as_uint(x); }
GPU_DEVICE uint32_t funnel_right(uint32_t low, uint32_t high, uint32_t n) {
  return __funnelshift_r(low, high, n);
}
GPU_DEVICE uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t digits) {
  return __byte_perm(a, b, digits);
}

// As assert(), which a release build would leave out; the host has no such function.
GPU_DEVICE void halt_unless([[maybe_unused]] bool x) {
#ifdef __CUDA_ARCH__
  if (!x) __assert_fail("an index is out of bounds", __FILE__, __LINE__, "polyops");
#endif
}

using f16 = __half;
using bf16 = __nv_bfloat16;

GPU_DEVICE float widen(float x) { return x; }
GPU_DEVICE float widen(f16 x) { return __half2float(x); }
GPU_DEVICE float widen(bf16 x) { return __bfloat162float(x); }

template <class T>
GPU_DEVICE T narrow(float x) {
  if constexpr (std::is_same_v<T, f16>) {
    return __float2half_rn(x);
  } else if constexpr (std::is_same_v<T, bf16>) {
    return __float2bfloat16_rn(x);
  } else {
    return x;
  }
}

template <class T>
GPU_DEVICE void widen2(uint32_t word, float* first, float* second) {
  if constexpr (std::is_same_v<T, bf16>) {
    *first = float_of_bits(word << 16);
    *second = float_of_bits(word & 0xffff0000u);
  } else {
    const float2 both = __half22float2(*reinterpret_cast<const __half2*>(&word));
    *first = both.x;
    *second = both.y;
  }
}

template <class T>
GPU_DEVICE uint32_t narrow2(float first, float second) {
  if constexpr (std::is_same_v<T, bf16>) {
    const __nv_bfloat162 both = __floats2bfloat162_rn(first, second);
    return *reinterpret_cast<const uint32_t*>(&both);
  } else {
    const __half2 both = __floats2half2_rn(first, second);
    return *reinterpret_cast<const uint32_t*>(&both);
  }
}

// Two of 16 bits in a word, as CUDA calls them.
template <class T>
using Two = std::conditional_t<std::is_same_v<T, bf16>, __nv_bfloat162, __half2>;
template <class T>
GPU_DEVICE Two<T> two_of(uint32_t word) {
  return *reinterpret_cast<const Two<T>*>(&word);
}
template <class Pair>
GPU_DEVICE uint32_t word_of(Pair pair) {
  return *reinterpret_cast<const uint32_t*>(&pair);
}
template <class T>
GPU_DEVICE uint32_t larger2(uint32_t x, uint32_t y) {
  return __hgt2_mask(two_of<T>(x), two_of<T>(y));
}
template <class T>
GPU_DEVICE uint32_t max2(uint32_t x, uint32_t y) {
  return word_of(__hmax2_nan(two_of<T>(x), two_of<T>(y)));
}
template <class T>
GPU_DEVICE uint32_t max_number2(uint32_t x, uint32_t y) {
  return word_of(__hmax2(two_of<T>(x), two_of<T>(y)));
}
template <class T>
GPU_DEVICE uint32_t without_minus_zero2(uint32_t x) {
  return word_of(__hadd2(two_of<T>(x), two_of<T>(0)));
}

GPU_DEVICE float exp_fast(float x) { return __expf(x); }
GPU_DEVICE float exp_close(float x) { return expf(x); }
GPU_DEVICE float exp2_flush(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
GPU_DEVICE float log_fast(float x) { return __logf(x); }
GPU_DEVICE float log_close(float x) { return logf(x); }
GPU_DEVICE float rsqrt_fast(float x) { return rsqrtf(x); }
GPU_DEVICE float reciprocal_fast(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

inline int multiprocessors(const polyops_context* ctx) {
  return cuda::multiprocessors(ctx->device_index);
}

inline int wave_lanes(const polyops_context*) { return 32; }

inline int64_t most_shared(const polyops_context* ctx) {
  return cuda::most_shared(ctx->device_index);
}

inline int most_cluster(const polyops_context* ctx) {
  return cuda::most_cluster(ctx->device_index);
}

template <class... Params>
int64_t clusters_at_a_time(void (*kernel)(Params...), const LaunchShape& shape,
                           const polyops_context* ctx) {
  return cuda::clusters_at_a_time(reinterpret_cast<const void*>(kernel), shape, ctx->device_index);
}

template <class... Params>
int launch(void (*kernel)(Params...), const LaunchShape& shape, const polyops_context* ctx,
           std::type_identity_t<Params>... args) {
  void* pointers[] = {&args...};
  return cuda::launch(reinterpret_cast<const void*>(kernel), shape, ctx, pointers);
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_CUDA_PLATFORM_H_
