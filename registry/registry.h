// The registry: families, what they bring, and the tables that calls are served from.
#ifndef POLYOPS_REGISTRY_REGISTRY_H_
#define POLYOPS_REGISTRY_REGISTRY_H_

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "gates.h"
#include "policy.h"
#include "polyops/abi.h"
#include "select.h"

namespace polyops {

struct Family {
  std::string name;    // the library's file name if it could not be asked
  std::string device;  // "" likewise
  std::string path;    // "" of a family that lives in the program
  const polyops_backend* backend = nullptr;
  enum class State { kLoaded, kWaiting, kRefused } state = State::kRefused;
  std::string reason;  // why it is not loaded
};

// A kernel as `info` shows it.
struct KernelInfo {
  const polyops_kernel* kernel;
  std::string family;
  std::string device;
  bool usable;  // this machine runs its ISA and the policy allows it
};

class Registry {
 public:
  // warn gets one line per family that could not be used. It is called without any lock held, and
  // may throw: nothing is left half done.
  explicit Registry(std::function<void(const std::string&)> warn) : warn_(std::move(warn)) {}
  Registry(const Registry&) = delete;

  // Opens a library. Families of the device "cpu" are probed here, others at ensure_probed().
  const Family& load(const std::string& path);
  // The same for a backend of the program itself (bindings, tests).
  const Family& add(const polyops_backend* backend, const std::string& path = "");

  // Takes over the settings that need the families to be known. std::invalid_argument, listing
  // what is known, for an unknown ISA or kernel.
  void configure(const Policy& policy);

  // The first call on a device probes the families that wait for it. Cheap afterwards.
  void ensure_probed(const std::string& device);

  // Valid for the life of the registry. The op must be known.
  OpTable& table(const std::string& device, const std::string& op);

  void set_gate(bool on);
  bool gate() const { return gate_on_.load(std::memory_order_relaxed); }
  // Only that kernel, ungated; an empty name ends it. std::invalid_argument for unknown names. One
  // of a family that waits for its probe counts as known.
  void force(const std::string& op, const std::string& kernel);

  // A measured point. Unknown kernels are ignored: a gate file may be older or newer than the
  // kernels. std::invalid_argument for a layout, dtype or number of sizes that the op lacks, and
  // for a ratio that is not above 0.
  void add_gate(const std::string& chip, const std::string& kernel, int threads,
                const std::string& dtype, const std::string& layout,
                const std::vector<int64_t>& sizes, float ratio);
  void commit_gates();  // rebuilds the tables once all points are in

  std::vector<Family> families() const;
  std::vector<KernelInfo> kernels() const;
  std::string gate_state(const Family& family) const;

 private:
  struct Device {
    explicit Device(std::string its_name) : name(std::move(its_name)) {}
    const std::string name;
    std::atomic<bool> waiting{false};
    std::map<std::string, std::unique_ptr<OpTable>> tables;  // under the lock
    Device* older = nullptr;
  };

  Device* find_device(const std::string& name) const;  // without the lock; nullptr if unknown
  Device& device(const std::string& name);
  Family& admit(const polyops_backend* backend, const std::string& path,
                const std::string& problem);
  void probe(Family* family);
  void refuse(Family* family, const std::string& reason);
  void flush_warnings();
  void check_isa(const std::string& isa) const;
  const polyops_kernel* find_kernel(const std::string& name, const Family** owner = nullptr) const;
  bool usable(const Family& family, const polyops_kernel& kernel) const;
  void rebuild();
  std::vector<Candidate> build(const std::string& device, const KernelOp& op);

  std::function<void(const std::string&)> warn_;
  mutable std::recursive_mutex mutex_;  // configuration only; calls take no lock
  std::deque<std::string> warnings_;    // not said yet
  std::deque<Family> families_;
  std::deque<Device> devices_;
  std::atomic<Device*> newest_device_{nullptr};  // of a list that only grows: calls walk it
  GateStore gates_;
  std::atomic<bool> gate_on_{true};
  std::string cpu_isa_;
  std::map<std::string, std::string> forced_;
};

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_REGISTRY_H_
