// kernels/gpu as a family whose device is the harness: each way of running lanes is an "instruction
// set" of it, so that every test of a family runs every kernel in all of them. Built a second time
// for torch, in one way and with the CPU as its device: so the torch tests of a GPU's ops run on a
// machine without one.
#include <cstddef>
#include <deque>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simt.h"
#include "table.h"

namespace polyops::gpu {
#define DECLARE(op, unused) KernelList POLYOPS_GPU_CONCAT(op, simt)();
POLYOPS_GPU_OPS(DECLARE, )
}  // namespace polyops::gpu

namespace simt {
namespace {

#ifdef POLYOPS_SIMT_FOR_TORCH
constexpr char kDevice[] = "cpu";
#else
constexpr char kDevice[] = "privateuseone";
#endif

const polyops_host* host = nullptr;

// Shared memory as A100, Ada, MI200 and MI350 have it.
struct Way {
  const char* name;
  Order order;
  size_t most_shared;
};
constexpr Way kWays[] = {{"wave32", {32, false}, 160 << 10},
#ifndef POLYOPS_SIMT_ONE_WAY
                         {"wave32_reversed", {32, true}, 99 << 10},
                         {"wave64", {64, false}, 64 << 10},
                         {"wave64_reversed", {64, true}, 160 << 10}
#endif
};
constexpr size_t kWayCount = std::size(kWays);

// As they were compiled, for no way: "softmax_lastdim__simt".
const std::vector<polyops_kernel>& compiled() {
  static const auto* kernels = [] {
    auto* all = new std::vector<polyops_kernel>;
#define APPEND(op, unused)                                                                     \
  for (auto list = polyops::gpu::POLYOPS_GPU_CONCAT(op, simt)(); list.count > 0; --list.count) \
    all->push_back(*list.first++);
    POLYOPS_GPU_OPS(APPEND, )
    return all;
  }();
  return *kernels;
}

template <size_t kWay, size_t kKernel>
int launch_in(const void* args, const polyops_context* ctx) {
  set_order(kWays[kWay].order, kWays[kWay].most_shared);
  return compiled()[kKernel].launch(args, ctx);
}

constexpr size_t kMostKernels = 128;

template <size_t kWay, size_t... kKernels>
void append_way(std::vector<polyops_kernel>* all, std::index_sequence<kKernels...>) {
  static constexpr decltype(polyops_kernel::launch) kLaunches[] = {launch_in<kWay, kKernels>...};
  static std::deque<std::string> names;
  for (size_t i = 0; i < compiled().size(); ++i) {
    polyops_kernel kernel = compiled()[i];
    const std::string_view name = kernel.name;
    names.emplace_back(name.substr(0, name.rfind("simt"))).append(kWays[kWay].name);
    kernel.name = names.back().c_str();
    kernel.isa = kWays[kWay].name;
    kernel.launch = kLaunches[i];
    all->push_back(kernel);
  }
}

const std::vector<polyops_kernel>& kernel_table() {
  static const auto* table = [] {
    auto* all = new std::vector<polyops_kernel>;
    if (compiled().size() > kMostKernels) throw std::length_error("more kernels than kMostKernels");
    [&]<size_t... kAll>(std::index_sequence<kAll...>) {
      (append_way<kAll>(all, std::make_index_sequence<kMostKernels>()), ...);
    }(std::make_index_sequence<kWayCount>());
    return all;
  }();
  return *table;
}

const char* const* isas() {
  static const char* names[kWayCount + 1] = {};
  for (size_t i = 0; i < kWayCount; ++i) names[i] = kWays[i].name;
  return names;
}

int runs_isa(const char* isa) {
  for (const Way& way : kWays) {
    if (std::string_view(way.name) == isa) return 1;
  }
  return 0;
}

int probe(char*, size_t) { return 1; }
const char* chip() { return "simt"; }
const char* features() { return ""; }

}  // namespace

int report(const char* message) {
  host->set_error(message);
  return POLYOPS_ERROR;
}

}  // namespace simt

// Barriers, one by one, for the test that leaves them out: the i-th one's name, NULL behind the
// last.
extern "C" POLYOPS_EXPORT const char* polyops_simt_barrier(int i) {
  static std::vector<std::string> names;
  names = simt::barriers();
  return i < static_cast<int>(names.size()) ? names[i].c_str() : nullptr;
}
extern "C" POLYOPS_EXPORT void polyops_simt_forget_barriers() { simt::forget_barriers(); }
extern "C" POLYOPS_EXPORT void polyops_simt_skip_barrier(const char* name) {
  simt::skip_barrier(name);
}

extern "C" POLYOPS_EXPORT void polyops_simt_fill_shared(int byte) {
  simt::fill_shared(static_cast<unsigned char>(byte));
}

extern "C" POLYOPS_EXPORT const polyops_backend* polyops_backend_init(const polyops_host* host);
extern "C" const polyops_backend* polyops_backend_init(const polyops_host* host) {
  using namespace simt;
  if (host == nullptr || host->abi_version != POLYOPS_ABI_VERSION) return nullptr;
  simt::host = host;
  static const polyops_backend backend = {sizeof(polyops_backend),
                                          POLYOPS_ABI_VERSION,
                                          "simt",
                                          kDevice,
                                          probe,
                                          chip,
                                          features,
                                          isas(),
                                          runs_isa,
                                          kernel_table().data(),
                                          kernel_table().size()};
  return &backend;
}
