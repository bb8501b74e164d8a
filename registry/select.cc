#include "select.h"

#include <optional>

namespace polyops {
namespace {

std::atomic<uint64_t> version{0};

// Makes the key where it will stay: a copy's wide loads wait for the narrow stores just before
// them, which made declining 60 ns slower.
struct KeyOf {
  const OpTable& table;
  const void* args;
  operator GateKey() const { return table.op().gate_key(args); }
};

}  // namespace

uint64_t choices_version() { return version.load(std::memory_order_acquire); }
void choices_changed() { version.fetch_add(1, std::memory_order_release); }

Choice select(const OpTable& table, const void* args, int threads, const Candidate* after) {
  const std::vector<Candidate>& candidates = table.candidates();
  const char* unsupported = nullptr;
  const char* gated = nullptr;
  bool reachable = true;
  std::optional<GateKey> key;
  // `after` may come from a table replaced since; then nothing matches and no candidate is left.
  bool skipping = after != nullptr;
  for (const Candidate& c : candidates) {
    if (skipping) {
      skipping = c.kernel != after->kernel;
      continue;
    }
    if (c.shut) {
      reachable = false;
      continue;
    }
    if (const char* reason = c.kernel->supports(args)) {
      if (unsupported == nullptr) unsupported = reason;
      continue;
    }
    if (c.gate == nullptr) return {&c, nullptr};
    if (!key) key.emplace(KeyOf{table, args});
    const char* reason = c.gate->check(threads, *key);
    if (reason == nullptr) return {&c, nullptr};
    if (gated == nullptr) gated = reason;
  }
  if (after != nullptr) return {nullptr, "launch declined"};
  if (gated != nullptr) return {nullptr, gated};
  if (unsupported != nullptr) return {nullptr, unsupported};
  return {nullptr, reachable ? "no kernel" : kNotMeasured};
}

}  // namespace polyops
