#include "chip.h"

#include <cstdio>
#include <cstring>
#include <string_view>

#if defined(__x86_64__)
#include <cpuid.h>
#if defined(__linux__)
#include <sys/syscall.h>
#include <unistd.h>
#endif
#endif

namespace polyops::cpu {

#if defined(__x86_64__)
namespace {

struct Model {
  const char* vendor;
  unsigned family;
  unsigned model;
};

Model read_model() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  char vendor[13] = {};
  __get_cpuid(0, &a, &b, &c, &d);
  std::memcpy(vendor, &b, 4);
  std::memcpy(vendor + 4, &d, 4);
  std::memcpy(vendor + 8, &c, 4);
  __get_cpuid(1, &a, &b, &c, &d);
  unsigned family = (a >> 8) & 15, model = (a >> 4) & 15;
  if (family == 15) family += (a >> 20) & 255;
  if (family >= 6) model |= ((a >> 16) & 15) << 4;
  const std::string_view v(vendor);
  const char* name = v == "AuthenticAMD" ? "amd" : v == "GenuineIntel" ? "intel" : "x86";
  return {name, family, model};
}

struct Range {
  const char* vendor;
  unsigned family, first_model, last_model;
  const char* name;
};

// Models of one microarchitecture share their kernels' figures closely enough to share gates.
constexpr Range kNames[] = {
    {"amd", 0x17, 0x30, 0x7f, "amd_zen2"},
    {"amd", 0x17, 0xa0, 0xaf, "amd_zen2"},
    {"amd", 0x19, 0x00, 0x0f, "amd_zen3"},
    {"amd", 0x19, 0x20, 0x5f, "amd_zen3"},
    {"amd", 0x19, 0x10, 0x1f, "amd_zen4"},
    {"amd", 0x19, 0x60, 0xaf, "amd_zen4"},
    {"amd", 0x1a, 0x00, 0xff, "amd_zen5"},
    {"intel", 6, 0x55, 0x55, "intel_skylake_x"},
    {"intel", 6, 0x6a, 0x6c, "intel_icelake_x"},
    {"intel", 6, 0x8f, 0x8f, "intel_sapphire_rapids"},
    {"intel", 6, 0xcf, 0xcf, "intel_emerald_rapids"},
    {"intel", 6, 0xad, 0xae, "intel_granite_rapids"},
};

// The tile registers exist, the system saves them, and lets this process use them: which it must
// ask for once, for all of its threads.
bool acquire_amx_bf16() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  constexpr unsigned kXsave = 1u << 27, kBf16 = 1u << 22, kTiles = 1u << 24, kStates = 3u << 17;
  if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & kXsave) == 0) return false;
  if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
  if ((d & kBf16) == 0 || (d & kTiles) == 0) return false;
  unsigned low = 0, high = 0;
  asm("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  if ((low & kStates) != kStates) return false;
#if defined(__linux__)
  constexpr long kRequestPermission = 0x1023, kTileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
#else
  return false;
#endif
}

}  // namespace

bool has_amx_bf16() {
  static const bool has = acquire_amx_bf16();
  return has;
}

std::string chip_name() {
  const Model m = read_model();
  for (const Range& r : kNames) {
    if (std::string_view(r.vendor) == m.vendor && r.family == m.family &&
        r.first_model <= m.model && m.model <= r.last_model) {
      return r.name;
    }
  }
  char name[64];
  std::snprintf(name, sizeof name, "%s_fam%xh_model%xh", m.vendor, m.family, m.model);
  return name;
}

// __builtin_cpu_supports looks at XCR0 too, so a feature the system does not save is absent.
std::string feature_list() {
  __builtin_cpu_init();
  std::string list;
#define ADD(feature) \
  if (__builtin_cpu_supports(feature)) list += list.empty() ? feature : "," feature
  ADD("avx2");
  ADD("fma");
  ADD("avx512f");
  ADD("avx512bw");
  ADD("avx512dq");
  ADD("avx512vl");
  ADD("avx512vnni");
  ADD("avx512bf16");
#undef ADD
  if (has_amx_bf16()) list += ",amx_bf16";
  return list;
}

int runs_isa(const char* isa) {
  __builtin_cpu_init();
  const std::string_view name(isa);
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                    __builtin_cpu_supports("f16c");
  if (name == "avx2") return avx2;
  if (name == "avx512") {
    return avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  }
  return name == "scalar";
}

#else

bool has_amx_bf16() { return false; }
std::string chip_name() { return "generic"; }
std::string feature_list() { return ""; }
int runs_isa(const char* isa) { return std::string_view(isa) == "scalar"; }

#endif

}  // namespace polyops::cpu
