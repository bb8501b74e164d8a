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
  c10::DispatchKey key;
  const char* stock_file;  // where torch registers its kernels of the device; NULL: not looked up
};
constexpr DeviceKey kDevices[] = {
    {"cpu", c10::DeviceType::CPU, c10::DispatchKey::CPU, "RegisterCPU"},
    // ROCm's torch uses this name too.
    {"cuda", c10::DeviceType::CUDA, c10::DispatchKey::CUDA, "RegisterCUDA"},
    {"xpu", c10::DeviceType::XPU, c10::DispatchKey::XPU, nullptr},
    {"privateuseone", c10::DeviceType::PrivateUse1, c10::DispatchKey::PrivateUse1, nullptr},
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

// Leaked with everything in it: the dispatcher, and threads in it, outlive static destructors.
struct State {
  std::mutex mutex;
  std::vector<std::atomic<bool>> enabled;  // per public op
  std::map<std::pair<const Overload*, c10::DispatchKey>, const WrappedSlot*> slots;
  std::vector<std::unique_ptr<torch::Library>> libraries;  // one per device key, while patched
  std::vector<std::pair<const Overload*, const DeviceKey*>> registered;

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
const WrappedSlot* slot_of(const Overload& overload, const DeviceKey& device) {
  const WrappedSlot*& slot = state().slots[{&overload, device.key}];
  if (slot != nullptr) return slot;
  const std::string full = std::string("aten::") + overload.name;
  const size_t dot = full.find('.');
  const std::string base = full.substr(0, dot);
  const std::string suffix = dot == std::string::npos ? "" : full.substr(dot + 1);
  const auto handle = c10::Dispatcher::singleton().findSchema({base, suffix});
  if (!handle || !handle->hasComputedKernelForDispatchKey(device.key)) return nullptr;
  auto* made = new WrappedSlot;
  made->overload = (new std::string(full))->c_str();
  made->op = checked_index(overload.op);
  made->device = device.type;
  made->table = &registry().table(device.name, overload.kernel_op);
  made->enabled = &state().enabled[made->op];
  made->handle = new c10::OperatorHandle(*handle);
  made->stock = new c10::SafeKernelFunction(handle->getComputedKernelForDispatchKey(device.key));
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
    if (other.wrap && other.name == backward && slot_of(other, device) == nullptr) return false;
  }
  return slot_of(overload, device) != nullptr;
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
    auto library = std::make_unique<torch::Library>(torch::Library::IMPL, "aten", device.key,
                                                    kMarker, __LINE__);
    for (const Overload& overload : overloads()) {
      if (!overload.wrap || !served.contains(overload.kernel_op)) continue;
      if (!policy().op_enabled(overload.op)) continue;
      if (!is_whole(overload, device)) continue;
      library->impl(overload.name, overload.wrap(slot_of(overload, device)));
      state().registered.emplace_back(&overload, &device);
    }
    state().libraries.push_back(std::move(library));
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
    for (const auto& [registered, device] : state().registered) {
      if (registered != &overload) continue;
      s.devices.emplace_back(device->name);
      const WrappedSlot* slot = slot_of(overload, *device);
      const auto now = slot->handle->getComputedKernelForDispatchKey(device->key);
      if (now.debug().find(kMarker) == std::string::npos) s.shadowed.emplace_back(device->name);
    }
    states.push_back(std::move(s));
  }
  return states;
}

}  // namespace polyops::torch_binding
