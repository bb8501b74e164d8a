// How families come in: checked, probed, or refused with a warning. See registry.h.
#include "loader.h"
#include "registry.h"

namespace polyops {
namespace {

std::string file_name(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace

const Family& Registry::load(const std::string& path) {
  const Family* family;
  {
    std::lock_guard lock(mutex_);
    const Opened opened = open_backend(path);
    family = &admit(opened.backend, path, opened.reason);
  }
  flush_warnings();
  return *family;
}

const Family& Registry::add(const polyops_backend* backend, const std::string& path) {
  const Family* family;
  {
    std::lock_guard lock(mutex_);
    family = &admit(backend, path, check_backend(backend));
  }
  flush_warnings();
  return *family;
}

Family& Registry::admit(const polyops_backend* backend, const std::string& path,
                        const std::string& problem) {
  std::string reason = problem;
  for (size_t i = 0; reason.empty() && i < backend->kernel_count; ++i) {
    const Family* owner = nullptr;
    if (find_kernel(backend->kernels[i].name, &owner) == nullptr) continue;
    reason = std::string("kernel ") + backend->kernels[i].name + " exists already, in family " +
             owner->name;
  }
  Family& family = families_.emplace_back();
  family.path = path;
  family.name = file_name(path);
  if (path.empty()) {
    const bool named = backend != nullptr && backend->name != nullptr;
    family.name = named ? backend->name : "a backend without a name";
  }
  if (!reason.empty()) {
    refuse(&family, reason);
    return family;
  }
  family.backend = backend;
  family.name = backend->name;
  family.device = backend->device;
  family.state = Family::State::kWaiting;
  if (family.device == "cpu") {
    probe(&family);
  } else {
    device(family.device).waiting.store(true, std::memory_order_release);
  }
  rebuild();
  return family;
}

void Registry::probe(Family* family) {
  const std::string reason = probe_backend(*family->backend);
  if (reason.empty()) {
    family->state = Family::State::kLoaded;
  } else {
    refuse(family, reason);
  }
}

void Registry::refuse(Family* family, const std::string& reason) {
  family->state = Family::State::kRefused;
  family->reason = reason;
  const std::string& subject = family->path.empty() ? family->name : family->path;
  warnings_.push_back("polyops: " + subject + " is not used: " + reason);
}

// A warning may end in code that waits for a lock (Python's) whose owner waits for ours.
void Registry::flush_warnings() {
  for (;;) {
    std::string line;
    {
      std::lock_guard lock(mutex_);
      if (warnings_.empty()) return;
      line = std::move(warnings_.front());
      warnings_.pop_front();
    }
    warn_(line);
  }
}

Registry::Device* Registry::find_device(const std::string& name) const {
  Device* d = newest_device_.load(std::memory_order_acquire);
  while (d != nullptr && d->name != name) d = d->older;
  return d;
}

Registry::Device& Registry::device(const std::string& name) {
  if (Device* known = find_device(name)) return *known;
  Device& made = devices_.emplace_back(name);
  made.older = newest_device_.load(std::memory_order_relaxed);
  newest_device_.store(&made, std::memory_order_release);
  return made;
}

void Registry::ensure_probed(const std::string& name) {
  Device* device = find_device(name);
  if (device == nullptr || !device->waiting.load(std::memory_order_acquire)) return;
  {
    std::lock_guard lock(mutex_);
    if (!device->waiting.load(std::memory_order_relaxed)) return;
    for (Family& family : families_) {
      if (family.device == name && family.state == Family::State::kWaiting) probe(&family);
    }
    rebuild();
    device->waiting.store(false, std::memory_order_release);
  }
  flush_warnings();
}

}  // namespace polyops
