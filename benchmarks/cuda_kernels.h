// Times kernels of a family without torch: each by events over a batch of launches, and what its
// least traffic is of the speed of a copy on the same device.
#ifndef POLYOPS_BENCHMARKS_CUDA_KERNELS_H_
#define POLYOPS_BENCHMARKS_CUDA_KERNELS_H_

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "polyops/abi.h"

namespace polyops::bench {

inline constexpr size_t kCopyBytes = size_t{1} << 30;
inline constexpr size_t kPoolBytes = size_t{6} << 30;
inline constexpr float kEnoughMs = 40;
inline constexpr int kSamples = 5;

inline void check(cudaError_t error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "%s\n", cudaGetErrorString(error));
  std::exit(1);
}

// Device memory handed out front to back, again from the front with each row; all of it holds
// random numbers of about the size of 1, in any dtype.
class Pool {
 public:
  Pool() {
    check(cudaMalloc(reinterpret_cast<void**>(&data_), kPoolBytes));
    std::vector<uint16_t> noise(size_t{64} << 20);
    uint64_t state = 1;
    for (uint16_t& half : noise) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      // bfloat16 of 0.5 to 2 either way, which is also the upper half of such a float32.
      half = static_cast<uint16_t>(0x3f00 + (state >> 40) % 0x100 + (state >> 63 << 15));
    }
    for (size_t at = 0; at < kPoolBytes; at += noise.size() * 2) {
      const size_t bytes = std::min(noise.size() * 2, kPoolBytes - at);
      check(cudaMemcpy(data_ + at, noise.data(), bytes, cudaMemcpyHostToDevice));
    }
  }
  void restart() { used_ = 0; }
  void* take(size_t bytes) {
    void* p = data_ + used_;
    used_ += (bytes + 255) / 256 * 256;
    if (used_ <= kPoolBytes) return p;
    std::fprintf(stderr, "the pool is too small\n");
    std::exit(1);
  }

 private:
  char* data_ = nullptr;
  size_t used_ = 0;
};

// Milliseconds of one call, the median over samples.
inline float time_ms(const std::function<void()>& call) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  const auto batch = [&](int calls) {
    check(cudaEventRecord(begin));
    for (int i = 0; i < calls; ++i) call();
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float ms = 0;
    check(cudaEventElapsedTime(&ms, begin, end));
    return ms / static_cast<float>(calls);
  };
  batch(2);
  const float once = batch(3);
  const int calls = std::clamp(static_cast<int>(kEnoughMs / once), 3, 2000);
  std::vector<float> samples;
  for (int i = 0; i < kSamples; ++i) samples.push_back(batch(calls));
  std::sort(samples.begin(), samples.end());
  return samples[kSamples / 2];
}

class Bench {
 public:
  Bench(const polyops_backend& family, std::string part) : family_(family), part_(std::move(part)) {
    cudaDeviceProp device;
    check(cudaGetDeviceProperties(&device, 0));
    void *a = pool_.take(kCopyBytes), *b = pool_.take(kCopyBytes);
    const float ms = time_ms(
        [&] { check(cudaMemcpyAsync(a, b, kCopyBytes, cudaMemcpyDeviceToDevice, nullptr)); });
    copy_ = 2.0 * kCopyBytes / ms / 1e6;
    std::printf("%s, copy %.0f GB/s\n%-52s %10s %8s %7s  %s\n", device.name, copy_, "row", "us",
                "GB/s", "% copy", "kernel");
  }

  polyops_tensor tensor(int32_t dtype, const std::vector<int64_t>& sizes) {
    polyops_tensor t = {};
    t.dtype = dtype;
    t.rank = static_cast<int32_t>(sizes.size());
    int64_t stride = 1;
    for (int d = t.rank - 1; d >= 0; --d) {
      t.sizes[d] = sizes[d];
      t.strides[d] = stride;
      stride *= sizes[d];
    }
    const size_t bytes = static_cast<size_t>(stride * polyops_dtype_size(dtype));
    t.data = pool_.take(bytes);
    moved_ += static_cast<double>(bytes);
    return t;
  }

  void begin() {
    pool_.restart();
    moved_ = 0;
  }

  // What begin() and the tensors since describe, by the first kernel that takes it.
  void row(const std::string& text, const char* op, const void* args) {
    if (text.find(part_) == std::string::npos) return;
    for (size_t i = 0; i < family_.kernel_count; ++i) {
      const polyops_kernel& kernel = family_.kernels[i];
      if (std::strcmp(kernel.op, op) != 0 || kernel.supports(args) != nullptr) continue;
      polyops_context context = {};
      context.struct_size = sizeof context;
      context.num_threads = 1;
      const size_t scratch = kernel.scratch_bytes == nullptr ? 0 : kernel.scratch_bytes(args, 1);
      if (scratch != 0) context.scratch = pool_.take(scratch);
      const float ms = time_ms([&] {
        if (kernel.launch(args, &context) != POLYOPS_OK) std::exit(1);
      });
      const double speed = moved_ / ms / 1e6;
      std::printf("%-52s %10.1f %8.0f %7.1f  %s\n", text.c_str(), ms * 1e3, speed,
                  100 * speed / copy_, kernel.name);
      return;
    }
    std::printf("%-52s no kernel\n", text.c_str());
  }

 private:
  const polyops_backend& family_;
  std::string part_;
  Pool pool_;
  double copy_ = 0, moved_ = 0;
};

inline std::string named(const char* op, int32_t dtype, const std::vector<int64_t>& sizes,
                         const char* note = "") {
  std::string text = std::string(op) + " " + polyops_dtype_name(dtype) + " ";
  for (size_t i = 0; i < sizes.size(); ++i) {
    text.append(i == 0 ? "" : "x").append(std::to_string(sizes[i]));
  }
  return text + note;
}

}  // namespace polyops::bench

#endif  // POLYOPS_BENCHMARKS_CUDA_KERNELS_H_
