#include "harness.h"

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>
#include <thread>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

namespace polyops::testing {
namespace {

constexpr unsigned char kGuard = 0xa5;
constexpr int64_t kGuardBytes = 256;

// Under AddressSanitizer reading of a guard is found, too.
#if defined(__SANITIZE_ADDRESS__)
void forbid(const unsigned char* p, size_t n) { __asan_poison_memory_region(p, n); }
void allow(const unsigned char* p, size_t n) { __asan_unpoison_memory_region(p, n); }
#else
void forbid(const unsigned char*, size_t) {}
void allow(const unsigned char*, size_t) {}
#endif

thread_local std::string error_text;
thread_local bool inside_parallel = false;

void set_error(const char* message) { error_text = message; }

const polyops_backend* open_family() {
  // Another place than where it was built: a device's tests are carried to its machine.
  const char* moved = std::getenv("POLYOPS_FAMILY_LIBRARY");
  const char* path = moved != nullptr ? moved : family_library();
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    std::abort();
  }
  auto init = reinterpret_cast<polyops_backend_init_fn>(dlsym(library, "polyops_backend_init"));
  static const polyops_host host = {sizeof(polyops_host), POLYOPS_ABI_VERSION, set_error};
  const polyops_backend* backend = init == nullptr ? nullptr : init(&host);
  char reason[256] = "";
  if (backend == nullptr || backend->probe(reason, sizeof reason) == 0) {
    std::fprintf(stderr, "%s: %s\n", path, reason);
    std::abort();
  }
  return backend;
}

// As torch's: equal chunks of at least grain, serial when nested.
void parallel_for(const polyops_context* ctx, int64_t n, int64_t grain, polyops_range_fn fn,
                  void* user) {
  const int64_t most = std::max<int64_t>(1, (n + grain - 1) / std::max<int64_t>(1, grain));
  const int64_t threads = inside_parallel ? 1 : std::min<int64_t>(ctx->num_threads, most);
  if (threads <= 1) {
    if (n > 0) fn(user, 0, n, 0);
    return;
  }
  const int64_t chunk = (n + threads - 1) / threads;
  std::vector<std::thread> team;
  for (int64_t t = 0; t * chunk < n; ++t) {
    team.emplace_back([=] {
      inside_parallel = true;
      fn(user, t * chunk, std::min(n, (t + 1) * chunk), static_cast<int32_t>(t));
    });
  }
  for (std::thread& member : team) member.join();
}

double load_element(const unsigned char* p, int32_t dtype) {
  switch (dtype) {
    case POLYOPS_FLOAT32: {
      float f;
      std::memcpy(&f, p, 4);
      return f;
    }
    case POLYOPS_FLOAT64: {
      double d;
      std::memcpy(&d, p, 8);
      return d;
    }
    case POLYOPS_BFLOAT16: {
      uint16_t half;
      std::memcpy(&half, p, 2);
      const uint32_t bits = uint32_t{half} << 16;
      float f;
      std::memcpy(&f, &bits, 4);
      return f;
    }
    case POLYOPS_FLOAT16: {
      _Float16 half;
      std::memcpy(&half, p, 2);
      return static_cast<double>(half);
    }
    case POLYOPS_INT64: {
      int64_t integer;
      std::memcpy(&integer, p, 8);
      return static_cast<double>(integer);
    }
    case POLYOPS_INT32: {
      int32_t integer;
      std::memcpy(&integer, p, 4);
      return integer;
    }
    case POLYOPS_UINT8:
      return *p;
    default:
      std::abort();
  }
}

uint16_t round_to_bf16(float f) {
  if (std::isnan(f)) return 0x7fc0;
  uint32_t bits;
  std::memcpy(&bits, &f, 4);
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void store_element(unsigned char* p, int32_t dtype, double value) {
  const float f = static_cast<float>(value);
  switch (dtype) {
    case POLYOPS_FLOAT32:
      std::memcpy(p, &f, 4);
      break;
    case POLYOPS_FLOAT64:
      std::memcpy(p, &value, 8);
      break;
    case POLYOPS_BFLOAT16: {
      const uint16_t half = round_to_bf16(f);
      std::memcpy(p, &half, 2);
      break;
    }
    case POLYOPS_FLOAT16: {
      const auto half = static_cast<_Float16>(f);
      std::memcpy(p, &half, 2);
      break;
    }
    case POLYOPS_INT64: {
      const auto integer = static_cast<int64_t>(value);
      std::memcpy(p, &integer, 8);
      break;
    }
    case POLYOPS_INT32: {
      const auto integer = static_cast<int32_t>(value);
      std::memcpy(p, &integer, 4);
      break;
    }
    case POLYOPS_UINT8:
      *p = static_cast<uint8_t>(value);
      break;
    default:
      std::abort();
  }
}

// Where its elements lie, in row-major order, in bytes from the first.
std::vector<int64_t> places_of(const polyops_tensor& t) {
  const int64_t width = polyops_dtype_size(t.dtype);
  std::vector<int64_t> places = {0};
  places.reserve(polyops_numel(&t));
  // The innermost dimension last: each one repeats what is inside of it.
  std::vector<int64_t> outer;
  for (int d = 0; d < t.rank; ++d) {
    outer.swap(places);
    places.clear();
    for (int64_t place : outer) {
      for (int64_t i = 0; i < t.sizes[d]; ++i) places.push_back(place + i * t.strides[d] * width);
    }
  }
  return places;
}

}  // namespace

const polyops_backend& family() {
  static const polyops_backend* backend = open_family();
  return *backend;
}

std::vector<const polyops_kernel*> kernels_of(const std::string& op) {
  std::vector<const polyops_kernel*> found;
  const polyops_backend& f = family();
  for (size_t i = 0; i < f.kernel_count; ++i) {
    const polyops_kernel& k = f.kernels[i];
    if (op == k.op && (k.isa[0] == '\0' || f.runs_isa(k.isa) != 0)) found.push_back(&k);
  }
  if (found.empty()) {
    std::fprintf(stderr, "no kernel for %s\n", op.c_str());
    std::abort();
  }
  return found;
}

Buffer::Buffer(int32_t dtype, std::vector<int64_t> sizes, std::vector<int64_t> strides,
               int64_t offset)
    : offset_(offset) {
  view_ = {};
  view_.dtype = dtype;
  view_.rank = static_cast<int32_t>(sizes.size());
  int64_t dense = 1, extent = 1;
  for (int d = view_.rank - 1; d >= 0; --d) {
    view_.sizes[d] = sizes[d];
    view_.strides[d] = strides.empty() ? dense : strides[d];
    dense *= sizes[d];
    extent += (sizes[d] - 1) * view_.strides[d];
  }
  numel_ = dense;
  const int64_t width = polyops_dtype_size(dtype);
  memory_.assign(kGuardBytes * 2 + (offset + extent) * width + 64, kGuard);
  guards_.assign(memory_.size(), 0xff);
  const auto base = reinterpret_cast<uintptr_t>(memory_.data());
  first_ = static_cast<int64_t>((base + kGuardBytes + 63) / 64 * 64 - base) + offset * width;
  view_.data = memory_.data() + first_;
  if (polyops_is_contiguous(&view_)) {
    std::memset(guards_.data() + first_, 0, dense * width);
    return;
  }
  places_ = places_of(view_);
  for (int64_t place : places_) std::memset(guards_.data() + first_ + place, 0, width);
}

Buffer::Buffer(const Buffer& other)
    : Buffer(other.view_.dtype, {other.view_.sizes, other.view_.sizes + other.view_.rank},
             {other.view_.strides, other.view_.strides + other.view_.rank}, other.offset_) {
  const int64_t width = polyops_dtype_size(view_.dtype);
  for (int64_t i = 0; i < numel(); ++i) {
    std::memcpy(memory_.data() + position(i), other.memory_.data() + other.position(i), width);
  }
}

polyops_tensor Buffer::view() const { return view_; }

polyops_tensor Buffer::without_data() const {
  polyops_tensor t = view_;
  t.data = nullptr;
  return t;
}

int64_t Buffer::position(int64_t linear) const {
  if (static_cast<uint64_t>(linear) >= static_cast<uint64_t>(numel_)) {
    throw std::out_of_range("element " + std::to_string(linear) + " of " + std::to_string(numel_));
  }
  return first_ + (places_.empty() ? linear * polyops_dtype_size(view_.dtype) : places_[linear]);
}

double Buffer::get(int64_t linear) const {
  return load_element(memory_.data() + position(linear), view_.dtype);
}

void Buffer::set(int64_t linear, double value) {
  store_element(memory_.data() + position(linear), view_.dtype, value);
}

std::vector<double> Buffer::values() const {
  std::vector<double> all(numel());
  for (int64_t i = 0; i < numel(); ++i) all[i] = get(i);
  return all;
}

void Buffer::fill(const std::function<double(int64_t)>& value) {
  for (int64_t i = 0; i < numel(); ++i) set(i, value(i));
}

void Buffer::fill_normal(uint32_t seed, double scale) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  fill([&](int64_t) { return scale * normal(generator); });
}

bool Buffer::guards_intact() const {
  constexpr uint64_t kGuards = uint64_t{0x0101010101010101} * kGuard;
  size_t i = 0;
  for (; i + 8 <= memory_.size(); i += 8) {
    uint64_t bytes, guards;
    std::memcpy(&bytes, memory_.data() + i, 8);
    std::memcpy(&guards, guards_.data() + i, 8);
    if (((bytes ^ kGuards) & guards) != 0) return false;
  }
  for (; i < memory_.size(); ++i) {
    if (((memory_[i] ^ kGuard) & guards_[i]) != 0) return false;
  }
  return true;
}

polyops_tensor absent() {
  polyops_tensor t = {};
  t.rank = -1;
  return t;
}

int launch(const polyops_kernel& kernel, const void* args, int threads) {
  const size_t bytes = kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(args, threads);
  Bytes memory(bytes + 64 + 2 * kGuardBytes, kGuard);
  const auto base = reinterpret_cast<uintptr_t>(memory.data()) + kGuardBytes;
  auto* scratch = reinterpret_cast<unsigned char*>((base + 63) / 64 * 64);
  for (size_t i = 0; i < bytes; ++i) scratch[i] = 0xff;  // a NaN in every float type
  forbid(scratch + bytes, kGuardBytes);
  polyops_context ctx = {};
  ctx.struct_size = sizeof ctx;
  ctx.num_threads = threads;
  ctx.scratch = bytes == 0 ? nullptr : scratch;
  ctx.parallel_for = parallel_for;
  const int status = kernel.launch(args, &ctx);
  const std::string failure = wait();
  if (!failure.empty()) ADD_FAILURE() << kernel.name << ": " << failure;
  allow(scratch + bytes, kGuardBytes);
  for (unsigned char* p = memory.data(); p < scratch; ++p) {
    if (*p != kGuard) {
      ADD_FAILURE() << kernel.name << " wrote before its scratch";
      break;
    }
  }
  for (unsigned char* p = scratch + bytes; p < memory.data() + memory.size(); ++p) {
    if (*p != kGuard) {
      ADD_FAILURE() << kernel.name << " wrote beyond its scratch of " << bytes << " bytes";
      break;
    }
  }
  return status;
}

std::string last_error() { return error_text; }

std::vector<int64_t> permuted_strides(const std::vector<int64_t>& sizes,
                                      const std::vector<int>& order) {
  std::vector<int64_t> strides(sizes.size());
  int64_t stride = 1;
  for (auto d = order.rbegin(); d != order.rend(); ++d) {
    strides[*d] = stride;
    stride *= sizes[*d];
  }
  return strides;
}

double epsilon(int32_t dtype) {
  switch (dtype) {
    case POLYOPS_FLOAT32:
      return std::ldexp(1.0, -23);
    case POLYOPS_FLOAT64:
      return std::ldexp(1.0, -52);
    case POLYOPS_BFLOAT16:
      return std::ldexp(1.0, -7);
    case POLYOPS_FLOAT16:
      return std::ldexp(1.0, -10);
    default:
      std::abort();
  }
}

bool is_half(int32_t dtype) { return dtype == POLYOPS_BFLOAT16 || dtype == POLYOPS_FLOAT16; }

double rounding_of(int32_t dtype, double value) {
  if (!is_half(dtype)) return 0;
  const double denormal = dtype == POLYOPS_FLOAT16 ? std::ldexp(1.0, -24) : 0;
  return 0.505 * std::max(epsilon(dtype) * std::abs(value), denormal);
}

double in_range(int32_t dtype, double value) {
  return dtype == POLYOPS_FLOAT16 && std::abs(value) >= 65520 ? std::copysign(HUGE_VAL, value)
                                                              : value;
}

bool is_gpu() { return std::string(family().device) != "cpu"; }

bool has_amx() { return std::string(family().features()).find("amx_bf16") != std::string::npos; }

bool multiplies_bf16([[maybe_unused]] const std::string& isa) {
#if defined(__x86_64__)
  return isa == "avx512" && __builtin_cpu_supports("avx512bf16") != 0;
#else
  return false;
#endif
}

}  // namespace polyops::testing
