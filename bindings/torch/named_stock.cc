#include "torch/named_stock.h"

#include <dlfcn.h>

#include <map>
#include <mutex>
#include <string>
#include <utility>

namespace polyops::torch_binding {
namespace {

// As the C++ ABI spells at::cpu and at::cuda. What follows them, name and arguments, is the same.
constexpr const char kCpu[] = "_ZN2at3cpu", kCuda[] = "_ZN2at4cuda";

void* look_up(c10::DeviceType device, void* cpu_function) {
  Dl_info info;
  if (dladdr(cpu_function, &info) == 0 || info.dli_sname == nullptr) return nullptr;
  const std::string name = info.dli_sname;
  if (!name.starts_with(kCpu)) return cpu_function;  // a default, the same for all devices
  if (device != c10::DeviceType::CUDA) return nullptr;
  static void* library = [] {
    void* cuda = dlopen("libtorch_cuda.so", RTLD_LAZY | RTLD_NOLOAD);
    return cuda != nullptr ? cuda : dlopen("libtorch_hip.so", RTLD_LAZY | RTLD_NOLOAD);
  }();
  return library ? dlsym(library, (kCuda + name.substr(sizeof kCpu - 1)).c_str()) : nullptr;
}

}  // namespace

void* function_on(c10::DeviceType device, void* cpu_function) {
  if (device == c10::DeviceType::CPU) return cpu_function;
  // dladdr walks over all symbols of torch's library: half a millisecond each time.
  static auto* known = new std::map<std::pair<c10::DeviceType, void*>, void*>;
  static std::mutex mutex;
  std::lock_guard lock(mutex);
  const auto [place, is_new] = known->try_emplace({device, cpu_function}, nullptr);
  if (is_new) place->second = look_up(device, cpu_function);
  return place->second;
}

}  // namespace polyops::torch_binding
