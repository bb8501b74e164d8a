// What the names of kernels/gpu/gpu.h mean on the harness.
#ifndef POLYOPS_TESTS_SIMT_PLATFORM_H_
#define POLYOPS_TESTS_SIMT_PLATFORM_H_

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <memory>
#include <source_location>
#include <type_traits>

#include "launch_shape.h"
#include "polyops/abi.h"
#include "simt.h"

#define GPU_KERNEL(...) void
#define GPU_DEVICE inline
#define GPU_CONSTANT
// A declaration is one array in each block, however often lanes come by.
#define GPU_SHARED(T, name, count)  \
  static const char name##_tag = 0; \
  T* const name = static_cast<T*>(::simt::shared(&name##_tag, sizeof(T) * (count)))
#define GPU_DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(::simt::dynamic_shared())

namespace simt {
// Reports what a launch threw to polyops; from the harness's backend.
int report(const char* message);
}  // namespace simt

namespace polyops::gpu {
namespace {

inline int thread_id() { return simt::thread_id(); }
inline int block_threads() { return simt::block_threads(); }
inline int64_t block_id() { return simt::block_id(); }
inline int64_t grid_blocks() { return simt::grid_blocks(); }
inline int wave_size() { return simt::wave_size(); }

inline void barrier(const std::source_location& where = std::source_location::current()) {
  simt::barrier(where);
}

// More than what is asked for, which all come to.
inline void team_barrier(int, int,
                         const std::source_location& where = std::source_location::current()) {
  simt::barrier(where);
}

constexpr bool kHasClusters = true;
inline int cluster_blocks() { return simt::cluster_blocks(); }
inline int cluster_rank() { return simt::cluster_rank(); }
inline void cluster_barrier(const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}
inline void cluster_arrive() {}
inline void cluster_wait(const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}
inline void cluster_send(float* place, int rank, float x) {
  *static_cast<float*>(simt::in_block(rank, place)) = x;
}
// Every lane waits for every other one, which is more than a device does.
struct Mailbox {};
inline void open_mailbox(Mailbox*) {}
inline void mail(Mailbox*, int, float* place, int rank, float x) { cluster_send(place, rank, x); }
inline void await_mail(Mailbox*, int, int,
                       const std::source_location& where = std::source_location::current()) {
  simt::cluster_barrier(where);
}
struct Arrival {};
inline void open_arrivals(Arrival*, int) {}
inline void expect_runs(Arrival*, int) {}
inline void copy_run_later(Arrival*, void* to, const void* from, int bytes) {
  if (bytes <= 0 || bytes % 16 != 0 || !simt::is_shared(to)) {
    throw simt::Error("a run that cannot be copied");
  }
  std::memcpy(std::assume_aligned<16>(to), std::assume_aligned<16>(from), bytes);
}
// Other threads need a barrier after the copy, which a device does not.
inline void await_runs(const Arrival*, int) {}
// Here it is known by then, as all wait.
struct Departures {};
inline void open_departures(Departures*, int, int) {}
inline void depart(Departures*, bool = true,
                   const std::source_location& where = std::source_location::current()) {
  simt::barrier(where);
}
inline void await_departures(const Departures*, int) {}
inline void before_runs() {}
inline void let_later_begin() { simt::let_later_begin(); }
inline void await_earlier() { simt::await_earlier(); }
// None on devices of wide waves.
inline int most_cluster(const polyops_context*) {
  return simt::order().wave > 32 ? 1 : simt::kMostCluster;
}

inline float shuffle_xor(float x, int mask) {
  return std::bit_cast<float>(
      static_cast<uint32_t>(simt::shuffle_xor(std::bit_cast<uint32_t>(x), mask)));
}
inline uint32_t shuffle_xor(uint32_t x, int mask) {
  return static_cast<uint32_t>(simt::shuffle_xor(x, mask));
}
inline bool any_lane(bool x) {
  uint64_t any = x ? 1 : 0;
  for (int mask = 1; mask < wave_size(); mask *= 2) any |= simt::shuffle_xor(any, mask);
  return any != 0;
}

struct SameLanes {
  int all, before;
};
template <int kCount>
void same_lanes(const uint32_t (&x)[kCount], int bits, SameLanes (&same)[kCount]) {
  const uint64_t before = (uint64_t{1} << thread_id() % wave_size()) - 1;
  for (int k = 0; k < kCount; ++k) {
    const uint64_t lanes = simt::same_lanes(x[k] & ((uint64_t{1} << bits) - 1));
    same[k] = {std::popcount(lanes), std::popcount(lanes & before)};
  }
}
inline void count_one(uint32_t* p) { ++*p; }
inline uint32_t claim_bits(uint32_t* p, uint32_t bits) {
  const uint32_t before = *p;
  *p |= bits;
  return before;
}
inline void wave_barrier(const std::source_location& where = std::source_location::current()) {
  simt::wave_barrier(where);
}

inline void load_16(const void* p, uint32_t (&w)[4]) {
  std::memcpy(w, std::assume_aligned<16>(p), sizeof w);
}
inline void load_16_once(const void* p, uint32_t (&w)[4]) { load_16(p, w); }
inline void prefetch(const void*) {}
// A device reads them.
inline void prefetch_run(const void* p, int64_t bytes) {
  if (bytes <= 0 || bytes % 16 != 0) throw simt::Error("a run that cannot be prefetched");
  const auto* first = static_cast<const volatile char*>(std::assume_aligned<16>(p));
  static_cast<void>(first[0]);
  static_cast<void>(first[bytes - 1]);
}
// Of global memory alone, as on a device.
inline void store_16(void* p, const uint32_t (&w)[4]) {
  if (simt::is_shared(p)) throw simt::Error("a store to global memory finds shared memory");
  std::memcpy(std::assume_aligned<16>(p), w, sizeof w);
}

inline void store_16_once(void* p, const uint32_t (&w)[4]) { store_16(p, w); }

inline float max_or_nan(float a, float b) { return std::isnan(a) || a > b ? a : b; }
inline float min_or_nan(float a, float b) { return std::isnan(a) || a < b ? a : b; }

inline void forget_bits(uint32_t*) {}

inline void copy_16_later(void* to, const void* from) { simt::copy_later(to, from, 16); }
inline void copy_16_later(void* to, const void* from, int bytes) {
  simt::copy_later(to, from, static_cast<size_t>(bytes));
}
inline void close_copies() { simt::close_copies(); }
template <int kBut>
void wait_copies() {
  simt::wait_copies(kBut);
}

inline float float_of_bits(uint32_t bits) { return std::bit_cast<float>(bits); }
inline uint32_t float_bits(float x) { return std::bit_cast<uint32_t>(x); }
inline uint32_t funnel_right(uint32_t low, uint32_t high, uint32_t n) {
  return static_cast<uint32_t>((uint64_t{high} << 32 | low) >> n);
}
inline uint32_t permute_bytes(uint32_t a, uint32_t b, uint32_t digits) {
  const uint64_t both = uint64_t{b} << 32 | a;
  uint32_t word = 0;
  for (int i = 0; i < 4; ++i) {
    word |= static_cast<uint32_t>(both >> 8 * (digits >> 4 * i & 7) & 0xff) << 8 * i;
  }
  return word;
}

inline void halt_unless(bool x) {
  if (!x) throw simt::Error("an assertion of a kernel");
}

struct f16 {
  uint16_t bits;
};
struct bf16 {
  uint16_t bits;
};

inline float widen(float x) { return x; }
inline float widen(bf16 x) { return std::bit_cast<float>(uint32_t{x.bits} << 16); }
inline float widen(f16 x) { return static_cast<float>(std::bit_cast<_Float16>(x.bits)); }

template <class T>
T narrow(float x) {
  if constexpr (std::is_same_v<T, f16>) {
    return {std::bit_cast<uint16_t>(static_cast<_Float16>(x))};
  } else if constexpr (std::is_same_v<T, bf16>) {
    if (std::isnan(x)) return {0x7fff};
    const auto bits = std::bit_cast<uint32_t>(x);
    return {static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
  } else {
    return x;
  }
}

template <class T>
void widen2(uint32_t word, float* first, float* second) {
  *first = widen(T{static_cast<uint16_t>(word)});
  *second = widen(T{static_cast<uint16_t>(word >> 16)});
}

template <class T>
uint32_t narrow2(float first, float second) {
  return narrow<T>(first).bits | uint32_t{narrow<T>(second).bits} << 16;
}

// f of both halves.
template <class F>
uint32_t of_halves(uint32_t x, uint32_t y, F f) {
  const auto half = [&](int shift) {
    return uint32_t{f(static_cast<uint16_t>(x >> shift), static_cast<uint16_t>(y >> shift))};
  };
  return half(0) | half(16) << 16;
}
template <class T>
uint32_t larger2(uint32_t x, uint32_t y) {
  return of_halves(x, y, [](uint16_t a, uint16_t b) -> uint16_t {
    return widen(T{a}) > widen(T{b}) ? 0xffff : 0;
  });
}
template <class T>
uint32_t max2(uint32_t x, uint32_t y) {
  return of_halves(x, y, [](uint16_t a, uint16_t b) -> uint16_t {
    const float p = widen(T{a}), q = widen(T{b});
    if (std::isnan(p) || std::isnan(q)) return 0x7fff;
    if (p == q) return std::signbit(p) ? b : a;
    return p > q ? a : b;
  });
}
template <class T>
uint32_t max_number2(uint32_t x, uint32_t y) {
  return of_halves(x, y, [](uint16_t a, uint16_t b) -> uint16_t {
    const float p = widen(T{a}), q = widen(T{b});
    return std::isnan(p) || p < q ? b : a;
  });
}
template <class T>
uint32_t without_minus_zero2(uint32_t x) {
  return of_halves(x, 0, [](uint16_t a, uint16_t) -> uint16_t { return a == 0x8000 ? 0 : a; });
}

inline float exp_fast(float x) { return std::exp(x); }
inline float exp_close(float x) { return std::exp(x); }
inline float exp2_flush(float x) {
  const float y = std::exp2(x);
  return y < std::numeric_limits<float>::min() ? 0 : y;
}
inline float log_fast(float x) { return std::log(x); }
inline float log_close(float x) { return std::log(x); }
inline float rsqrt_fast(float x) { return 1 / std::sqrt(x); }
inline float reciprocal_fast(float x) { return 1 / x; }

// So few that a block of a persistent grid gets several turns.
inline int multiprocessors(const polyops_context*) { return 3; }
inline int wave_lanes(const polyops_context*) { return simt::order().wave; }

inline int64_t most_shared(const polyops_context*) { return simt::most_shared(); }

template <class... Params>
int64_t clusters_at_a_time(void (*)(Params...), const LaunchShape&, const polyops_context*) {
  return 2;
}

template <class... Params>
int launch(void (*kernel)(Params...), const LaunchShape& shape, const polyops_context*,
           std::type_identity_t<Params>... args) {
  try {
    if (shape.cluster > most_cluster(nullptr)) throw simt::Error("too large a cluster");
    const auto lane = [&] {
      kernel(args...);
      simt::end_kernel();
    };
    simt::run(simt::order(), shape.blocks, shape.threads, shape.shared_bytes, lane,
              shape.whole ? static_cast<int>(shape.blocks) : shape.cluster);
    return POLYOPS_OK;
  } catch (const simt::Error& error) {
    return simt::report(error.what());
  }
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_TESTS_SIMT_PLATFORM_H_
