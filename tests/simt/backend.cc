// kernels/gpu as a family whose device is the harness: each way of running lanes is an "instruction
// set" of it, so that every test of a family runs every kernel in all of them. Compiled a second time
// for torch, in one way and with the CPU as its device: so the torch tests of a GPU's ops run on a
// machine without one.
#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "simt.h"
#include "table.h"

#ifdef POLYOPS_SIMT_ONE_WAY
#define POLYOPS_SIMT_TARGETS(X, op) X(op, wave32)
#else
#define POLYOPS_SIMT_TARGETS(X, op) \
  X(op, wave32) X(op, wave32_reversed) X(op, wave64) X(op, wave64_reversed)
#endif

namespace polyops::gpu {
#define DECLARE(op, target) KernelList POLYOPS_GPU_CONCAT(op, target)();
#define DECLARE_ALL(op, unused) POLYOPS_SIMT_TARGETS(DECLARE, op)
POLYOPS_GPU_OPS(DECLARE_ALL, )
}  // namespace polyops::gpu

namespace simt {
namespace {

#ifdef POLYOPS_SIMT_FOR_TORCH
constexpr char kDevice[] = "cpu";
#else
constexpr char kDevice[] = "privateuseone";
#endif

const polyops_host* host = nullptr;

void append(std::vector<polyops_kernel>* all, polyops::gpu::KernelList list) {
  all->insert(all->end(), list.first, list.first + list.count);
}

const std::vector<polyops_kernel>& kernel_table() {
  static const auto* table = [] {
    auto* all = new std::vector<polyops_kernel>;
#define APPEND(op, target) append(all, polyops::gpu::POLYOPS_GPU_CONCAT(op, target)());
#define APPEND_ALL(op, unused) POLYOPS_SIMT_TARGETS(APPEND, op)
    POLYOPS_GPU_OPS(APPEND_ALL, )
    return all;
  }();
  return *table;
}

#define NAME(unused, target) #target,
constexpr const char* kIsas[] = {POLYOPS_SIMT_TARGETS(NAME, ) nullptr};

int runs_isa(const char* isa) {
  for (const char* const* known = kIsas; *known != nullptr; ++known) {
    if (std::string_view(*known) == isa) return 1;
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

// Barriers, one by one, for the test that leaves them out: the i-th one's name, NULL behind the last.
extern "C" POLYOPS_EXPORT const char* polyops_simt_barrier(int i) {
  static std::vector<std::string> names;
  names = simt::barriers();
  return i < static_cast<int>(names.size()) ? names[i].c_str() : nullptr;
}
extern "C" POLYOPS_EXPORT void polyops_simt_forget_barriers() { simt::forget_barriers(); }
extern "C" POLYOPS_EXPORT void polyops_simt_skip_barrier(const char* name) {
  simt::skip_barrier(name);
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
                                          kIsas,
                                          runs_isa,
                                          kernel_table().data(),
                                          kernel_table().size()};
  return &backend;
}
