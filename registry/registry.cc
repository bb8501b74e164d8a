#include "registry.h"

#include <algorithm>
#include <stdexcept>

namespace polyops {
namespace {

int32_t dtype_of(const std::string& name) {
  for (int32_t d : {POLYOPS_FLOAT32, POLYOPS_FLOAT64, POLYOPS_BFLOAT16, POLYOPS_FLOAT16,
                    POLYOPS_INT64, POLYOPS_UINT8, POLYOPS_INT32}) {
    if (name == polyops_dtype_name(d)) return d;
  }
  throw std::invalid_argument("unknown dtype '" + name + "'");
}

}  // namespace

OpTable& Registry::table(const std::string& device_name, const std::string& op) {
  std::lock_guard lock(mutex_);
  const KernelOp* known = find_kernel_op(op);
  if (known == nullptr) throw std::logic_error("unknown kernel op " + op);
  std::unique_ptr<OpTable>& slot = device(device_name).tables[op];
  if (slot == nullptr) {
    slot = std::make_unique<OpTable>(known);
    slot->replace(build(device_name, *known));
  }
  return *slot;
}

void Registry::configure(const Policy& policy) {
  std::lock_guard lock(mutex_);
  if (!policy.cpu_isa.empty()) check_isa(policy.cpu_isa);
  cpu_isa_ = policy.cpu_isa;
  gate_on_ = policy.gate;
  for (const auto& [op, kernel] : policy.force) {
    try {
      force(op, kernel);
    } catch (const std::invalid_argument& e) {
      throw std::invalid_argument(std::string("POLYOPS_FORCE: ") + e.what());
    }
  }
  rebuild();
}

void Registry::check_isa(const std::string& isa) const {
  std::vector<std::string> known;
  for (const Family& f : families_) {
    if (f.device != "cpu" || f.state != Family::State::kLoaded || f.backend->isas == nullptr) {
      continue;
    }
    for (const char* const* i = f.backend->isas; *i != nullptr; ++i) {
      if (f.backend->runs_isa(*i) == 0) continue;
      if (isa == *i) return;
      if (std::find(known.begin(), known.end(), *i) == known.end()) known.emplace_back(*i);
    }
  }
  throw std::invalid_argument(
      "POLYOPS_CPU_ISA=" + isa +
      ": unknown ISA, or one that this machine does not run; it runs: " + join(known));
}

const polyops_kernel* Registry::find_kernel(const std::string& name, const Family** owner) const {
  for (const Family& f : families_) {
    if (f.backend == nullptr) continue;
    for (size_t i = 0; i < f.backend->kernel_count; ++i) {
      if (name != f.backend->kernels[i].name) continue;
      if (owner != nullptr) *owner = &f;
      return &f.backend->kernels[i];
    }
  }
  return nullptr;
}

void Registry::set_gate(bool on) {
  std::lock_guard lock(mutex_);
  gate_on_ = on;
  rebuild();
}

void Registry::force(const std::string& op, const std::string& kernel) {
  std::lock_guard lock(mutex_);
  if (find_kernel_op(op) == nullptr) {
    throw std::invalid_argument("unknown op '" + op + "'; known: " + known_kernel_ops());
  }
  if (kernel.empty()) {
    forced_.erase(op);
  } else {
    std::vector<std::string> known;
    for (const Family& f : families_) {
      if (f.state == Family::State::kRefused) continue;
      for (size_t i = 0; i < f.backend->kernel_count; ++i) {
        const polyops_kernel& k = f.backend->kernels[i];
        // Whether the machine runs a family that waits is found out at the first call.
        const bool possible = f.state == Family::State::kWaiting || usable(f, k);
        if (op == k.op && possible) known.emplace_back(k.name);
      }
    }
    if (std::find(known.begin(), known.end(), kernel) == known.end()) {
      throw std::invalid_argument("unknown kernel '" + kernel + "' for op '" + op +
                                  "'; known on this machine: " + join(known));
    }
    forced_[op] = kernel;
  }
  rebuild();
}

void Registry::add_gate(const std::string& chip, const std::string& kernel, int threads,
                        const std::string& dtype, const std::string& layout,
                        const std::vector<int64_t>& sizes, float ratio) {
  std::lock_guard lock(mutex_);
  const polyops_kernel* known = find_kernel(kernel);
  if (known == nullptr) return;
  const KernelOp& op = *find_kernel_op(known->op);
  GateKey key;
  key.dtype = dtype_of(dtype);
  key.layout = nullptr;
  for (const char* name : op.layouts) {
    if (layout == name) key.layout = name;
  }
  if (key.layout == nullptr || sizes.size() != op.size_names.size()) {
    throw std::invalid_argument("gate of " + kernel + ": layout '" + layout + "' with " +
                                std::to_string(sizes.size()) + " sizes is not one of op " +
                                op.name);
  }
  if (!(ratio > 0)) {
    throw std::invalid_argument("gate of " + kernel + ": ratio " + std::to_string(ratio) +
                                " (expected above 0)");
  }
  std::copy(sizes.begin(), sizes.end(), key.sizes);
  gates_.add(chip, kernel, threads, key, ratio);
}

void Registry::commit_gates() {
  std::lock_guard lock(mutex_);
  rebuild();
}

bool Registry::usable(const Family& family, const polyops_kernel& kernel) const {
  if (family.state != Family::State::kLoaded) return false;
  const std::string isa = kernel.isa;
  if (isa.empty() || family.backend->isas == nullptr) return true;
  if (family.backend->runs_isa(kernel.isa) == 0) return false;
  // A forced ISA keeps the portable kernels: they are all there is for some dtypes.
  const bool forced = family.device == "cpu" && !cpu_isa_.empty();
  return !forced || isa == cpu_isa_ || isa == "scalar";
}

std::vector<Candidate> Registry::build(const std::string& device, const KernelOp& op) {
  std::vector<Candidate> candidates;
  const auto forced = forced_.find(op.name);
  for (const Family& f : families_) {
    if (f.device != device || f.state != Family::State::kLoaded) continue;
    const std::string chip = f.backend->chip();
    for (size_t i = 0; i < f.backend->kernel_count; ++i) {
      const polyops_kernel& k = f.backend->kernels[i];
      if (op.name != std::string(k.op) || !usable(f, k)) continue;
      if (forced != forced_.end() && forced->second != k.name) continue;
      const bool gated = gate_on_ && forced == forced_.end();
      candidates.push_back({&k, gated ? gates_.gate_for(chip, k.name) : nullptr, f.backend});
    }
  }
  return candidates;
}

void Registry::rebuild() {
  for (Device& d : devices_) {
    for (auto& [op, table] : d.tables) table->replace(build(d.name, table->op()));
  }
}

std::vector<Family> Registry::families() const {
  std::lock_guard lock(mutex_);
  return {families_.begin(), families_.end()};
}

std::vector<KernelInfo> Registry::kernels() const {
  std::lock_guard lock(mutex_);
  std::vector<KernelInfo> all;
  for (const Family& f : families_) {
    if (f.backend == nullptr) continue;
    for (size_t i = 0; i < f.backend->kernel_count; ++i) {
      const polyops_kernel& k = f.backend->kernels[i];
      all.push_back({&k, f.name, f.device, usable(f, k)});
    }
  }
  return all;
}

std::string Registry::gate_state(const Family& family) const {
  std::lock_guard lock(mutex_);
  if (family.state != Family::State::kLoaded) return "";
  if (!gate_on_) return "lifted";
  const std::string chip = family.backend->chip();
  if (!gates_.measured(chip)) return "conservative: not measured";
  return "measured with " + gates_.thread_classes(chip) + " threads";
}

}  // namespace polyops
