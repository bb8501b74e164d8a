#include "runtime.h"

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>

namespace polyops::cuda {
namespace {

constexpr int kMostDevices = 64;

const polyops_host* host = nullptr;

int fail(const char* what, cudaError_t error) {
  char text[256];
  std::snprintf(text, sizeof text, "%s: %s", what, cudaGetErrorString(error));
  cudaGetLastError();  // it is said; an error that does not stick is over
  host->set_error(text);
  return POLYOPS_ERROR;
}

}  // namespace

void set_host(const polyops_host* the_host) { host = the_host; }

int multiprocessors(int device) {
  static std::atomic<int> known[kMostDevices];
  if (device < 0 || device >= kMostDevices) return 1;
  int count = known[device].load(std::memory_order_relaxed);
  if (count != 0) return count;
  if (cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device) != cudaSuccess) {
    cudaGetLastError();
    return 1;
  }
  known[device].store(count, std::memory_order_relaxed);
  return count;
}

int launch(const void* kernel, const gpu::LaunchShape& shape, const polyops_context* ctx,
           void** args) {
  // torch has made the device current, through a runtime of its own; ours need not have noticed.
  int current = -1;
  cudaError_t error = cudaGetDevice(&current);
  if (error == cudaSuccess && current != ctx->device_index)
    error = cudaSetDevice(ctx->device_index);
  if (error != cudaSuccess) return fail("no such device", error);
  error = cudaLaunchKernel(kernel, dim3(static_cast<unsigned>(shape.blocks)),
                           dim3(static_cast<unsigned>(shape.threads)), args, shape.shared_bytes,
                           static_cast<cudaStream_t>(ctx->stream));
  return error == cudaSuccess ? POLYOPS_OK : fail("launch", error);
}

}  // namespace polyops::cuda
