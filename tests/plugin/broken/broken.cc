// One plug-in, compiled once per fault that the loader must survive: -DBROKEN_<fault>. Without any
// (fault "none") it loads, which is the proof that the fault alone is what the loader complains of.
#include <cstdio>
#include <stdexcept>

#include "polyops/abi.h"

namespace {

const char* supports(const void*) { return "never"; }
int launch(const void*, const polyops_context*) { return POLYOPS_DECLINED; }

#if defined(BROKEN_UNKNOWN_OP)
constexpr const char kOp[] = "transmogrify";
#else
constexpr const char kOp[] = "relu";
#endif

constexpr polyops_kernel kKernels[] = {
#if defined(BROKEN_KERNEL_SIZE)
    {sizeof(polyops_kernel) - 8, kOp, "relu__broken", "", supports, nullptr, launch},
#elif defined(BROKEN_KERNEL_NAME)
    {sizeof(polyops_kernel), kOp, nullptr, "", supports, nullptr, launch},
#elif defined(BROKEN_KERNEL_LAUNCH)
    {sizeof(polyops_kernel), kOp, "relu__broken", "", supports, nullptr, nullptr},
#else
    {sizeof(polyops_kernel), kOp, "relu__broken", "", supports, nullptr, launch},
#endif
#if defined(BROKEN_KERNEL_TWICE)
    {sizeof(polyops_kernel), kOp, "relu__broken", "", supports, nullptr, launch},
#endif
};

int probe([[maybe_unused]] char* reason, [[maybe_unused]] size_t capacity) {
#if defined(BROKEN_PROBE)
  std::snprintf(reason, capacity, "no such chip on the bus");
  return 0;
#elif defined(BROKEN_PROBE_SILENT)
  return 0;
#elif defined(BROKEN_PROBE_THROWS)
  throw std::runtime_error("the driver is on fire");
#elif defined(BROKEN_PROBE_THROWS_INT)
  throw 42;
#else
  return 1;
#endif
}

const char* chip() {
#if defined(BROKEN_CHIP_NULL)
  return nullptr;
#elif defined(BROKEN_CHIP_THROWS)
  throw std::runtime_error("the chip has no name");
#else
  return "broken_chip";
#endif
}

const char* features() {
#if defined(BROKEN_FEATURES_NULL)
  return nullptr;
#else
  return "";
#endif
}

#if defined(BROKEN_ISA_THROWS)
constexpr const char* kIsaList[] = {"v1", nullptr};
constexpr const char* const* kIsas = kIsaList;
int runs_isa(const char*) { throw std::runtime_error("no instruction set"); }
#else
constexpr const char* const* kIsas = nullptr;
constexpr int (*runs_isa)(const char*) = nullptr;
#endif

const polyops_backend kBackend = {
#if defined(BROKEN_SHORT_STRUCT)
    sizeof(polyops_backend) - 16,
#else
    sizeof(polyops_backend),
#endif
#if defined(BROKEN_VERSION)
    999,
#else
    POLYOPS_ABI_VERSION,
#endif
    "broken",
    "cpu",
#if defined(BROKEN_ENTRY)
    nullptr,
#else
    probe,
#endif
    chip,
    features,
    kIsas,
    runs_isa,
    kKernels,
    sizeof(kKernels) / sizeof(kKernels[0]),
};

}  // namespace

#if defined(BROKEN_UNDEFINED)
extern "C" int polyops_symbol_that_nobody_defines();
#endif

#if defined(BROKEN_SYMBOL)
extern "C" POLYOPS_EXPORT const polyops_backend* polyops_backend_start(const polyops_host*);
extern "C" const polyops_backend* polyops_backend_start(const polyops_host*) { return &kBackend; }
#else
extern "C" POLYOPS_EXPORT const polyops_backend* polyops_backend_init(const polyops_host*);
extern "C" const polyops_backend* polyops_backend_init(const polyops_host*) {
#if defined(BROKEN_NULL)
  return nullptr;
#elif defined(BROKEN_INIT_THROWS)
  throw std::runtime_error("init ran out of luck");
#elif defined(BROKEN_INIT_THROWS_INT)
  throw 42;
#elif defined(BROKEN_UNDEFINED)
  return polyops_symbol_that_nobody_defines() != 0 ? &kBackend : nullptr;
#else
  return &kBackend;
#endif
}
#endif
