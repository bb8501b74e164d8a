// The choice, per call: ordered candidates, the first that supports the call and whose gate is
// open. Called on every thread without a lock; tables are replaced whole, never changed.
#ifndef POLYOPS_REGISTRY_SELECT_H_
#define POLYOPS_REGISTRY_SELECT_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "gates.h"
#include "op_list.h"
#include "polyops/abi.h"

namespace polyops {

struct Candidate {
  const polyops_kernel* kernel;
  const Gate* gate;                          // nullptr: ungated
  const polyops_backend* backend = nullptr;  // whose it is
  bool shut = gate != nullptr && gate->never_opens();
};

// As long as this stays, the same call gets the same choice.
uint64_t choices_version();
// After any change to what choices rest on.
void choices_changed();

// One op's candidates on one device. Lives as long as the process; bindings hold pointers to it.
class OpTable {
 public:
  explicit OpTable(const KernelOp* op) : op_(op) { replace({}); }

  const KernelOp& op() const { return *op_; }
  const std::vector<Candidate>& candidates() const {
    return *candidates_.load(std::memory_order_acquire);
  }
  // Under the registry's lock. What was there before is kept: another thread may be walking it.
  void replace(std::vector<Candidate> candidates) {
    versions_.push_back(std::make_unique<std::vector<Candidate>>(std::move(candidates)));
    candidates_.store(versions_.back().get(), std::memory_order_release);
    choices_changed();
  }

 private:
  const KernelOp* op_;
  std::vector<std::unique_ptr<std::vector<Candidate>>> versions_;
  std::atomic<const std::vector<Candidate>*> candidates_{nullptr};
};

struct Choice {
  const Candidate* candidate = nullptr;  // nullptr: none takes the call,
  const char* reason = nullptr;          // and this is why, of static lifetime
};

// Continues behind `after`, which declined at launch, or starts at the first candidate. The reason
// is the first shut gate's if one was reached (the call was supported, but stock is better), else
// the first candidate's. A candidate that no call can reach is not even asked what it supports:
// after a kernel that swept the caches, each answer costs 50 ns.
Choice select(const OpTable& table, const void* args, int threads,
              const Candidate* after = nullptr);

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_SELECT_H_
