#include "runtime.h"

#include <cuda_runtime_api.h>

#include <atomic>
#include <cstdio>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <utility>

namespace polyops::cuda {
namespace {

constexpr int kMostDevices = 64;
constexpr int kPortableCluster = 8;  // what every chip that has clusters allows

const polyops_host* host = nullptr;

int fail(const char* what, cudaError_t error) {
  char text[256];
  std::snprintf(text, sizeof text, "%s: %s", what, cudaGetErrorString(error));
  cudaGetLastError();  // it is said; an error that does not stick is over
  host->set_error(text);
  return POLYOPS_ERROR;
}

// Of each device, asked once; `otherwise` if it does not say.
int attribute(cudaDeviceAttr what, int device, std::atomic<int> (&known)[kMostDevices],
              int otherwise) {
  if (device < 0 || device >= kMostDevices) return otherwise;
  int value = known[device].load(std::memory_order_relaxed);
  if (value != 0) return value;
  if (cudaDeviceGetAttribute(&value, what, device) != cudaSuccess) {
    cudaGetLastError();
    return otherwise;
  }
  known[device].store(value, std::memory_order_relaxed);
  return value;
}

// A kernel that asks for shared memory gets up to all that a block may have, once per device:
// beyond 48 KB, its own arrays counted, no launch gets it unasked. That it may have all of a
// multiprocessor's, too, is what the question how many blocks fit there goes by; launches say how
// much of it they want.
cudaError_t allow_shared(const void* kernel, int device) {
  static std::mutex mutex;
  static auto* allowed = new std::set<std::pair<const void*, int>>;
  std::lock_guard lock(mutex);
  if (allowed->count({kernel, device}) != 0) return cudaSuccess;
  cudaFuncAttributes attributes;
  cudaError_t error = cudaFuncGetAttributes(&attributes, kernel);
  if (error != cudaSuccess) return error;
  const auto bytes = most_shared(device) - static_cast<int64_t>(attributes.sharedSizeBytes);
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                               static_cast<int>(bytes));
  if (error != cudaSuccess) return error;
  error = cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                               cudaSharedmemCarveoutMaxShared);
  if (error == cudaSuccess) allowed->insert({kernel, device});
  return error;
}

// What is known of a kernel's launches of one shape.
struct Prepared {
  cudaError_t error = cudaSuccess;
  int shared_percent = cudaSharedmemCarveoutDefault;  // of a multiprocessor's memory
};

// Drivers older than this do not know the attribute.
constexpr int kDriverOfCarveouts = 12060;

// Asks the device, which rounds up to what a multiprocessor can be set to.
int ask_shared_percent(const void* kernel, const gpu::LaunchShape& shape, int device) {
  constexpr size_t kReserved = 1024;  // of each block
  static std::atomic<int> known[kMostDevices];
  const int all = attribute(cudaDevAttrMaxSharedMemoryPerMultiprocessor, device, known, 0);
  cudaFuncAttributes attributes;
  int driver = 0, blocks = 0;
  if (all <= 0 || cudaDriverGetVersion(&driver) != cudaSuccess || driver < kDriverOfCarveouts ||
      cudaFuncGetAttributes(&attributes, kernel) != cudaSuccess ||
      cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, shape.threads,
                                                    shape.shared_bytes) != cudaSuccess) {
    cudaGetLastError();
    return cudaSharedmemCarveoutDefault;
  }
  const size_t bytes = blocks * (attributes.sharedSizeBytes + shape.shared_bytes + kReserved);
  const size_t percent = (bytes * 100 + all - 1) / all;
  return percent < 100 ? static_cast<int>(percent) : 100;
}

// Shared memory and cache are one memory, and loads that are under way take their places in the
// cache. So shared memory is as large as the blocks need that fit otherwise, and no larger: where
// it was all of it, log_softmax over 4096 rows of 256 columns took 104 us, so 75; where the driver
// chose, gradients of bilinear interpolation 1.1 times as long.
Prepared prepare(const void* kernel, const gpu::LaunchShape& shape, int device) {
  static std::mutex mutex;
  static auto* known = new std::map<std::tuple<const void*, int, int, size_t>, int>;
  std::lock_guard lock(mutex);
  const std::tuple key(kernel, device, shape.threads, shape.shared_bytes);
  if (const auto at = known->find(key); at != known->end()) return {cudaSuccess, at->second};
  if (shape.shared_bytes != 0) {
    const cudaError_t error = allow_shared(kernel, device);
    if (error != cudaSuccess) return {error};
  }
  const int percent = ask_shared_percent(kernel, shape, device);
  known->emplace(key, percent);
  return {cudaSuccess, percent};
}

}  // namespace

void set_host(const polyops_host* the_host) { host = the_host; }

int multiprocessors(int device) {
  static std::atomic<int> known[kMostDevices];
  return attribute(cudaDevAttrMultiProcessorCount, device, known, 1);
}

int64_t most_shared(int device) {
  static std::atomic<int> known[kMostDevices];
  return attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin, device, known, 48 << 10);
}

// The code for 9.0 is compiled for that chip alone; all others run that for 8.0, made without
// clusters, and so does 9.0 where its own was left out.
#ifdef POLYOPS_CUDA_CLUSTERS
constexpr int kClustersOf90 = kPortableCluster;
#else
constexpr int kClustersOf90 = 1;
#endif

int most_cluster(int device) {
  static std::atomic<int> known[kMostDevices];
  if (device < 0 || device >= kMostDevices) return 1;
  int most = known[device].load(std::memory_order_relaxed);
  if (most != 0) return most;
  int major = 0, minor = 0;
  if (cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) != cudaSuccess ||
      cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) != cudaSuccess) {
    cudaGetLastError();
    return 1;
  }
  most = major == 9 && minor == 0 ? kClustersOf90 : 1;
  known[device].store(most, std::memory_order_relaxed);
  return most;
}

namespace {

// torch has made the device current, through a runtime of its own; ours need not have noticed.
cudaError_t make_current(int device) {
  int current = -1;
  const cudaError_t error = cudaGetDevice(&current);
  return error == cudaSuccess && current != device ? cudaSetDevice(device) : error;
}

// Whether a kernel begins before the one in front of it has ended, for which it waits (gpu.h). By
// code for 9.0, as clusters; to be captured in a graph it takes a driver of CUDA 12.3. Not a grid
// launched as a whole, of which CUDA does not say that a graph can have it so; on a stream it can,
// and gains nothing (batch_norm, group_norm: 1.00 in the median, 1.02 at most).
bool begins_early(const gpu::LaunchShape& shape, int device) {
  static const bool captured = [] {
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess && version >= 12030;
  }();
  return captured && !shape.whole && most_cluster(device) > 1;
}

// A launch with attributes.
struct Extended {
  cudaLaunchAttribute attributes[4] = {};
  cudaLaunchConfig_t config = {};

  Extended(const gpu::LaunchShape& shape, cudaStream_t stream, bool early, int shared_percent) {
    if (shared_percent != cudaSharedmemCarveoutDefault) {
      cudaLaunchAttribute& carveout = attributes[config.numAttrs++];
      carveout.id = cudaLaunchAttributePreferredSharedMemoryCarveout;
      carveout.val.sharedMemCarveout = static_cast<unsigned>(shared_percent);
    }
    if (shape.cluster > 1) {
      cudaLaunchAttribute& cluster = attributes[config.numAttrs++];
      cluster.id = cudaLaunchAttributeClusterDimension;
      cluster.val.clusterDim = {static_cast<unsigned>(shape.cluster), 1, 1};
    }
    if (shape.whole) {
      cudaLaunchAttribute& cooperative = attributes[config.numAttrs++];
      cooperative.id = cudaLaunchAttributeCooperative;
      cooperative.val.cooperative = 1;
    }
    if (early) {
      cudaLaunchAttribute& overlap = attributes[config.numAttrs++];
      overlap.id = cudaLaunchAttributeProgrammaticStreamSerialization;
      overlap.val.programmaticStreamSerializationAllowed = 1;
    }
    config.gridDim = dim3(static_cast<unsigned>(shape.blocks));
    config.blockDim = dim3(static_cast<unsigned>(shape.threads));
    config.dynamicSmemBytes = shape.shared_bytes;
    config.stream = stream;
    config.attrs = attributes;
  }
  Extended(const Extended&) = delete;
  Extended& operator=(const Extended&) = delete;
};

// Asks the device. 0: it does not say.
int ask_clusters(const void* kernel, gpu::LaunchShape shape, int device) {
  cudaFuncAttributes attributes = {};
  int clusters = 0;
  cudaError_t error = make_current(device);
  if (error == cudaSuccess && shape.shared_bytes != 0) error = allow_shared(kernel, device);
  if (error == cudaSuccess && shape.shared_bytes == gpu::kAllShared) {
    error = cudaFuncGetAttributes(&attributes, kernel);
    shape.shared_bytes = most_shared(device) - attributes.sharedSizeBytes;
  }
  if (error == cudaSuccess) {
    const Extended extended(shape, nullptr, false, cudaSharedmemCarveoutDefault);
    error = cudaOccupancyMaxActiveClusters(&clusters, kernel, &extended.config);
  }
  if (error == cudaSuccess) return clusters;
  cudaGetLastError();
  return 0;
}

}  // namespace

// Parts of the chip have fewer multiprocessors than others, and those of a cluster are of one part.
int clusters_at_a_time(const void* kernel, const gpu::LaunchShape& shape, int device) {
  static std::mutex mutex;
  static auto* known = new std::map<std::tuple<const void*, int, int, size_t, int>, int>;
  std::lock_guard lock(mutex);
  const std::tuple key(kernel, device, shape.threads, shape.shared_bytes, shape.cluster);
  if (const auto at = known->find(key); at != known->end()) return at->second;
  const int clusters = ask_clusters(kernel, shape, device);
  if (clusters > 0) return known->emplace(key, clusters).first->second;
  const int most = multiprocessors(device) / shape.cluster;
  return most * 15 / 16 < 1 ? 1 : most * 15 / 16;
}

int launch(const void* kernel, const gpu::LaunchShape& shape, const polyops_context* ctx,
           void** args) {
  cudaError_t error = make_current(ctx->device_index);
  if (error != cudaSuccess) return fail("no such device", error);
  const Prepared prepared = prepare(kernel, shape, ctx->device_index);
  if (prepared.error != cudaSuccess) return fail("shared memory", prepared.error);
  const Extended extended(shape, static_cast<cudaStream_t>(ctx->stream),
                          begins_early(shape, ctx->device_index), prepared.shared_percent);
  error = cudaLaunchKernelExC(&extended.config, kernel, args);
  if (error == cudaErrorCooperativeLaunchTooLarge) {  // a process may have a part of the device
    cudaGetLastError();
    return POLYOPS_DECLINED;
  }
  return error == cudaSuccess ? POLYOPS_OK : fail("launch", error);
}

}  // namespace polyops::cuda
