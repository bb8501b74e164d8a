#include "loader.h"

#include <dlfcn.h>

#include <algorithm>
#include <exception>
#include <filesystem>

#include "op_list.h"

namespace polyops {
namespace {

std::string& error_text() {
  thread_local std::string text;
  return text;
}

void set_error(const char* message) { error_text() = message == nullptr ? "" : message; }

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
  if (k.name == nullptr || k.op == nullptr || k.isa == nullptr) return "a kernel without a name";
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

std::string check_backend(const polyops_backend* b) {
  if (b == nullptr) return "polyops_backend_init returned NULL";
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
  for (size_t i = 0; i < b->kernel_count; ++i) {
    if (std::string problem = check_kernel(b->kernels[i]); !problem.empty()) return problem;
  }
  return "";
}

Opened open_backend(const std::string& path) {
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
  try {
    if (backend.probe(reason, sizeof reason) != 0) return "";
  } catch (...) {
    return "probe threw: " + describe_exception();
  }
  reason[sizeof reason - 1] = '\0';
  return reason[0] == '\0' ? "probe failed without a reason" : reason;
}

std::vector<std::string> libraries_in(const std::string& entry) {
  std::error_code ignored;  // what cannot be listed is handed on, for open_backend to complain of
  if (!std::filesystem::is_directory(entry, ignored)) return {entry};
  std::vector<std::string> found;
  for (const auto& file : std::filesystem::directory_iterator(entry, ignored)) {
    const std::string name = file.path().filename();
    if (name.starts_with("libpolyops_") && name.ends_with(".so")) found.push_back(file.path());
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace polyops
