#include "loader.h"

#include <dlfcn.h>

#include <algorithm>
#include <exception>
#include <filesystem>
#include <set>
#include <string_view>
#include <system_error>

#include "op_list.h"

namespace polyops {
namespace {

std::string& error_text() {
  thread_local std::string text;
  return text;
}

constexpr polyops_host kHost = {sizeof(polyops_host), POLYOPS_ABI_VERSION, set_error};

std::string describe_exception() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "an exception of unknown type";
  }
}

std::string check_kernel(const polyops_kernel& k) {
  if (k.struct_size != sizeof(polyops_kernel)) {
    return "a kernel entry of " + std::to_string(k.struct_size) + " bytes (expected " +
           std::to_string(sizeof(polyops_kernel)) + ")";
  }
  if (k.name == nullptr || k.name[0] == '\0') return "a kernel without a name";
  if (k.op == nullptr || k.isa == nullptr) {
    return std::string("kernel ") + k.name + " without op or isa";
  }
  if (k.supports == nullptr || k.launch == nullptr) {
    return std::string("kernel ") + k.name + " without supports or launch";
  }
  if (find_kernel_op(k.op) == nullptr) {
    return std::string("kernel ") + k.name + " for the unknown op '" + k.op +
           "' (known: " + known_kernel_ops() + ")";
  }
  return "";
}

}  // namespace

const std::string& last_error() { return error_text(); }

void set_error(const char* message) { error_text() = message == nullptr ? "" : message; }

std::string check_backend(const polyops_backend* b) {
  if (b == nullptr) {
    return "polyops_backend_init returned NULL (expected a backend for polyops ABI version " +
           std::to_string(POLYOPS_ABI_VERSION) + ")";
  }
  if (b->abi_version != POLYOPS_ABI_VERSION) {
    return "built for polyops ABI version " + std::to_string(b->abi_version) + " (expected " +
           std::to_string(POLYOPS_ABI_VERSION) + ")";
  }
  if (b->struct_size < sizeof(polyops_backend)) {
    return "a backend struct of " + std::to_string(b->struct_size) + " bytes (expected " +
           std::to_string(sizeof(polyops_backend)) + ")";
  }
  if (b->name == nullptr || b->device == nullptr || b->probe == nullptr || b->chip == nullptr ||
      b->features == nullptr || (b->isas != nullptr && b->runs_isa == nullptr) ||
      (b->kernels == nullptr && b->kernel_count > 0)) {
    return "a backend struct with a missing entry";
  }
  std::set<std::string_view> names;
  for (size_t i = 0; i < b->kernel_count; ++i) {
    if (std::string problem = check_kernel(b->kernels[i]); !problem.empty()) return problem;
    if (!names.insert(b->kernels[i].name).second) {
      return std::string("kernel ") + b->kernels[i].name + " is listed twice";
    }
  }
  return "";
}

Opened open_backend(const std::string& path) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return {nullptr, "a folder without a libpolyops_*.so (expected at least one)"};
  }
  void* library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return {nullptr, dlerror()};
  auto init = reinterpret_cast<polyops_backend_init_fn>(dlsym(library, "polyops_backend_init"));
  if (init == nullptr) return {nullptr, "no symbol polyops_backend_init (expected to be exported)"};
  try {
    const polyops_backend* backend = init(&kHost);
    std::string problem = check_backend(backend);
    if (!problem.empty()) return {nullptr, problem};
    return {backend, ""};
  } catch (...) {
    return {nullptr, "polyops_backend_init threw: " + describe_exception()};
  }
}

std::string probe_backend(const polyops_backend& backend) {
  char reason[512] = "";
  const char* step = "probe";
  try {
    if (backend.probe(reason, sizeof reason) == 0) {
      reason[sizeof reason - 1] = '\0';
      return reason[0] == '\0' ? "probe failed without a reason" : reason;
    }
    // What is asked at any time from now on is asked here once, where it can still be refused.
    step = "chip";
    if (backend.chip() == nullptr) return "chip returned NULL (expected a name)";
    step = "features";
    if (backend.features() == nullptr) return "features returned NULL (expected a list)";
    step = "runs_isa";
    for (const char* const* isa = backend.isas; isa != nullptr && *isa != nullptr; ++isa) {
      backend.runs_isa(*isa);
    }
  } catch (...) {
    return std::string(step) + " threw: " + describe_exception();
  }
  return "";
}

std::vector<std::string> libraries_in(const std::string& entry) {
  std::error_code ignored;  // a folder without any is handed on, for open_backend to complain of
  if (!std::filesystem::is_directory(entry, ignored)) return {entry};
  std::vector<std::string> found;
  const std::filesystem::directory_iterator end;
  for (std::filesystem::directory_iterator it(entry, ignored); it != end; it.increment(ignored)) {
    const std::string name = it->path().filename();
    if (name.starts_with("libpolyops_") && name.ends_with(".so")) found.push_back(it->path());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? std::vector{entry} : found;
}

}  // namespace polyops
