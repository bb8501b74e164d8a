#include "torch/patch.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/util/Exception.h>

#include <map>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>

namespace polyops::torch_binding {
namespace {

// Appears in the dispatcher's debug text of our registrations, and tells them from others'.
constexpr const char kMarker[] = "polyops/bindings";

struct DeviceKey {
  const char* name;
  c10::DeviceType type;
  c10::DispatchKey key, autograd;
  const char* stock_file;  // where torch registers its kernels of the device; NULL: not looked up
};
constexpr DeviceKey kDevices[] = {
    {"cpu", c10::DeviceType::CPU, c10::DispatchKey::CPU, c10::DispatchKey::AutogradCPU,
     "RegisterCPU"},
    // ROCm's torch uses this name too.
    {"cuda", c10::DeviceType::CUDA, c10::DispatchKey::CUDA, c10::DispatchKey::AutogradCUDA,
     "RegisterCUDA"},
    {"xpu", c10::DeviceType::XPU, c10::DispatchKey::XPU, c10::DispatchKey::AutogradXPU, nullptr},
    {"privateuseone", c10::DeviceType::PrivateUse1, c10::DispatchKey::PrivateUse1,
     c10::DispatchKey::AutogradPrivateUse1, nullptr},
};

// torch warns, once per process, about the first overridden kernel. Users must not see ours.
// Everything else that is said meanwhile goes where it would have gone.
class QuietOverride : public c10::WarningHandler {
 public:
  QuietOverride() : next_(c10::WarningUtils::get_warning_handler()) {}
  void process(const c10::Warning& warning) override {
    const bool ours =
        warning.msg().find("Overriding a previously registered kernel") != std::string::npos;
    if (!ours) next_->process(warning);
  }

 private:
  c10::WarningHandler* next_;
};

struct Registration {
  const Overload* overload;
  const DeviceKey* device;
  c10::DispatchKey key;
};

// Leaked with everything in it: the dispatcher, and threads in it, outlive static destructors.
struct State {
  std::mutex mutex;
  std::vector<std::atomic<bool>> enabled;  // per public op
  std::map<std::pair<const Overload*, c10::DispatchKey>, const WrappedSlot*> slots;
  std::vector<std::unique_ptr<torch::Library>> libraries;  // one per key, while patched
  std::vector<Registration> registered;

  State() : enabled(public_ops().size()) {
    for (auto& flag : enabled) flag.store(true, std::memory_order_relaxed);
  }
};

State& state() {
  static auto* instance = new State;
  return *instance;
}

int checked_index(const std::string& op) {
  const int index = public_op_index(op);
  if (index < 0) {
    throw std::invalid_argument("unknown op '" + op + "'; known ops: " + known_public_ops());
  }
  return index;
}

// The stock kernel is read when the overload is first wrapped; later it would be ourselves.
const WrappedSlot* slot_of(const Overload& overload, const DeviceKey& device,
                           c10::DispatchKey key) {
  const WrappedSlot*& slot = state().slots[{&overload, key}];
  if (slot != nullptr) return slot;
  const std::string full = std::string("aten::") + overload.name;
  const size_t dot = full.find('.');
  const std::string base = full.substr(0, dot);
  const std::string suffix = dot == std::string::npos ? "" : full.substr(dot + 1);
  const auto handle = c10::Dispatcher::singleton().findSchema({base, suffix});
  if (!handle || !handle->hasComputedKernelForDispatchKey(key)) return nullptr;
  auto* made = new WrappedSlot;
  made->overload = (new std::string(full))->c_str();
  made->op = checked_index(overload.op);
  made->device = device.type;
  made->table = &registry().table(device.name, overload.kernel_op);
  made->enabled = &state().enabled[made->op];
  made->handle = new c10::OperatorHandle(*handle);
  made->stock = new c10::SafeKernelFunction(handle->getComputedKernelForDispatchKey(key));
  const char* file = overload.stock_file != nullptr ? overload.stock_file : device.stock_file;
  made->stock_is_torchs = file != nullptr && made->stock->debug().find(file) != std::string::npos;
  slot = made;
  return slot;
}

// The kernel ops that the families of the device bring.
std::set<std::string> ops_served(const DeviceKey& device) {
  std::set<std::string> ops;
  for (const Family& f : registry().families()) {
    if (f.state == Family::State::kRefused || f.device != device.name) continue;
    for (size_t i = 0; i < f.backend->kernel_count; ++i) ops.insert(f.backend->kernels[i].op);
  }
  return ops;
}

// Whether torch has the overload there, and what differentiates it if we take that: a forward alone
// would have a gradient that is not there.
bool is_whole(const Overload& overload, const DeviceKey& device) {
  const std::string name = overload.name, backward = name.substr(0, name.find('.')) + "_backward";
  for (const Overload& other : overloads()) {
    if (other.wrap && other.name == backward && slot_of(other, device, device.key) == nullptr) {
      return false;
    }
  }
  return slot_of(overload, device, device.key) != nullptr &&
         (!overload.composite || slot_of(overload, device, device.autograd) != nullptr);
}

void add_library(const DeviceKey& device, c10::DispatchKey key,
                 const std::vector<const Overload*>& taken) {
  auto library =
      std::make_unique<torch::Library>(torch::Library::IMPL, "aten", key, kMarker, __LINE__);
  for (const Overload* overload : taken) {
    library->impl(overload->name, overload->wrap(slot_of(*overload, device, key)));
    state().registered.push_back({overload, &device, key});
  }
  state().libraries.push_back(std::move(library));
}

// A composite is registered twice on a device.
void add_once(const char* name, std::vector<std::string>* names) {
  if (names->empty() || names->back() != name) names->emplace_back(name);
}

}  // namespace

void patch() {
  std::lock_guard lock(state().mutex);
  if (!state().libraries.empty()) return;
  QuietOverride quiet;
  c10::WarningUtils::WarningHandlerGuard guard(&quiet);
  for (const DeviceKey& device : kDevices) {
    const std::set<std::string> served = ops_served(device);
    if (served.empty()) continue;
    std::vector<const Overload*> taken, composites;
    for (const Overload& overload : overloads()) {
      if (!overload.wrap || !served.contains(overload.kernel_op)) continue;
      if (!policy().op_enabled(overload.op)) continue;
      if (!is_whole(overload, device)) continue;
      taken.push_back(&overload);
      if (overload.composite) composites.push_back(&overload);
    }
    add_library(device, device.key, taken);
    if (!composites.empty()) add_library(device, device.autograd, composites);
  }
}

void unpatch() {
  std::lock_guard lock(state().mutex);
  state().libraries.clear();
  state().registered.clear();
}

bool is_patched() {
  std::lock_guard lock(state().mutex);
  return !state().libraries.empty();
}

void set_enabled(const std::string& op, bool on) {
  const int index = checked_index(op);
  if (on && !policy().op_enabled(op)) {
    throw std::invalid_argument("op '" + op +
                                "' is disabled by a POLYOPS_* variable and was not registered");
  }
  state().enabled[index].store(on, std::memory_order_relaxed);
}

bool is_enabled(const std::string& op) {
  const int index = checked_index(op);
  return policy().op_enabled(op) && state().enabled[index].load(std::memory_order_relaxed);
}

std::vector<OverloadState> overload_states() {
  std::lock_guard lock(state().mutex);
  std::vector<OverloadState> states;
  for (const Overload& overload : overloads()) {
    OverloadState s{&overload, {}, {}};
    for (const auto& [registered, device, key] : state().registered) {
      if (registered != &overload) continue;
      add_once(device->name, &s.devices);
      const WrappedSlot* slot = slot_of(overload, *device, key);
      const auto now = slot->handle->getComputedKernelForDispatchKey(key);
      if (now.debug().find(kMarker) == std::string::npos) add_once(device->name, &s.shadowed);
    }
    states.push_back(std::move(s));
  }
  return states;
}

}  // namespace polyops::torch_binding
