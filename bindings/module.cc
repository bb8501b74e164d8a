// polyops._C: what the Python package sees of the registry and of the patch.
#include <c10/util/Exception.h>
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>
#include <torch/version.h>

#include <limits>
#include <optional>
#include <vector>

#include "loader.h"
#include "registry.h"
#include "stats.h"
#include "torch/bench_memory.h"
#include "torch/memory.h"
#include "torch/packs.h"
#include "torch/patch.h"
#include "torch/torch_family.h"

namespace py = pybind11;

namespace polyops::torch_binding {
namespace {

// A UserWarning where Python can be asked, else torch's own way to be heard.
void warn(const std::string& message) {
  if (PyGILState_Check() == 0) {
    TORCH_WARN(message);
    return;
  }
  if (PyErr_WarnEx(PyExc_UserWarning, message.c_str(), 1) != 0) throw py::error_already_set();
}

py::object optional_string(const char* text) {
  return text ? py::object(py::str(text)) : py::none();
}

const at::Tensor& unpack_tensor(py::handle object) {
  if (!THPVariable_Check(object.ptr())) throw py::type_error("not a tensor");
  return THPVariable_Unpack(object.ptr());
}

PackTerms pack_terms(bool gated, std::optional<int64_t> max_bytes) {
  return {gated, max_bytes.value_or(std::numeric_limits<int64_t>::max())};
}

py::tuple pack_tuple(const PackResult& result) {
  return py::make_tuple(result.id, optional_string(result.reason));
}

const char* text_or_empty(const char* text) { return text == nullptr ? "" : text; }

py::dict family_dict(const Family& f) {
  py::dict d;
  const bool loaded = f.state == Family::State::kLoaded;
  const bool waiting = f.state == Family::State::kWaiting;
  d["name"] = f.name;
  d["device"] = f.device;
  d["path"] = f.path;
  d["loaded"] = loaded;
  d["reason"] = loaded    ? py::object(py::none())
                : waiting ? py::object(py::str("probed at the first call on " + f.device))
                          : py::object(py::str(f.reason));
  d["chip"] = loaded ? text_or_empty(f.backend->chip()) : "";
  d["features"] = loaded ? text_or_empty(f.backend->features()) : "";
  py::list isas;
  if (loaded && f.backend->isas != nullptr) {
    for (const char* const* i = f.backend->isas; *i != nullptr; ++i) {
      if (f.backend->runs_isa(*i) != 0) isas.append(*i);
    }
  }
  d["isas"] = isas;
  d["gates"] = registry().gate_state(f);
  return d;
}

py::list families() {
  py::list all;
  for (const Family& f : registry().families()) all.append(family_dict(f));
  return all;
}

py::list overload_list() {
  py::list all;
  for (const OverloadState& s : overload_states()) {
    py::dict d;
    d["name"] = std::string("aten::") + s.overload->name;
    d["op"] = s.overload->op;
    d["kernel_op"] = s.overload->kernel_op;
    d["taken"] = s.overload->left_to_stock == nullptr;
    d["device"] = s.devices;
    d["shadowed"] = !s.shadowed.empty();
    d["note"] = text_or_empty(s.overload->left_to_stock);
    all.append(d);
  }
  return all;
}

py::list kernel_list() {
  py::list all;
  for (const KernelInfo& k : registry().kernels()) {
    py::dict d;
    py::list users;
    for (const PublicOp& op : public_ops()) {
      for (const char* name : op.kernel_ops) {
        if (std::string(name) == k.kernel->op) users.append(op.name);
      }
    }
    d["op"] = k.kernel->op;
    d["public_ops"] = users;
    d["direction"] = find_kernel_op(k.kernel->op)->direction;
    d["name"] = k.kernel->name;
    d["family"] = k.family;
    d["device"] = k.device;
    d["isa"] = k.kernel->isa;
    d["usable"] = k.usable;
    all.append(d);
  }
  return all;
}

py::dict stats() {
  py::dict all;
  for (const auto& [name, op] : read_stats()) {
    py::dict d;
    d["hits"] = op.hits;
    d["declined"] = op.declined;
    d["kernels"] = op.kernels;
    all[py::str(name)] = d;
  }
  return all;
}

py::dict policy_dict() {
  const Policy& p = policy();
  std::vector<std::string> disabled, enabled(p.enabled.begin(), p.enabled.end());
  for (const PublicOp& op : public_ops()) {
    if (!p.op_enabled(op.name)) disabled.emplace_back(op.name);
  }
  py::dict d;
  d["autopatch"] = p.autopatch;
  d["log"] = p.log_dispatch;
  d["gate"] = p.gate;
  d["isa"] = p.cpu_isa.empty() ? py::object(py::none()) : py::object(py::str(p.cpu_isa));
  d["disabled"] = disabled;
  d["enabled"] = enabled;
  d["force"] = p.force;
  d["plugin_path"] = p.plugin_path;
  return d;
}

// The last traced hit, for last_call().
std::optional<Event>& last_hit() {
  static std::optional<Event> event;
  return event;
}

py::list trace(const py::function& fn) {
  start_trace();
  std::vector<Event> events;
  try {
    fn();
  } catch (...) {
    stop_trace();
    throw;
  }
  events = stop_trace();
  py::list all;
  for (const Event& e : events) {
    if (e.kernel != nullptr) last_hit() = e;
    all.append(py::make_tuple(e.overload, optional_string(e.kernel), optional_string(e.reason)));
  }
  return all;
}

const KernelOp* op_of_kernel(const char* name) {
  for (const KernelInfo& k : registry().kernels()) {
    if (std::string(k.kernel->name) == name) return find_kernel_op(k.kernel->op);
  }
  return nullptr;
}

py::object last_call() {
  if (!last_hit()) return py::none();
  const Event& e = *last_hit();
  const size_t count = op_of_kernel(e.kernel)->size_names.size();
  py::dict d;
  d["kernel"] = e.kernel;
  d["dtype"] = polyops_dtype_name(e.key.dtype);
  d["layout"] = e.key.layout;
  d["sizes"] = std::vector<int64_t>(e.key.sizes, e.key.sizes + count);
  d["threads"] = e.threads;
  return d;
}

std::vector<std::string> sizes_of(const std::string& op) {
  const KernelOp* known = find_kernel_op(op);
  if (known == nullptr) {
    throw std::invalid_argument("unknown op '" + op + "'; known: " + known_kernel_ops());
  }
  return {known->size_names.begin(), known->size_names.end()};
}

// Behind the CPU family, whose name for the chip it shares: gates are kept by chip.
void add_torch_family() {
  for (const Family& f : registry().families()) {
    if (f.device != "cpu" || f.state != Family::State::kLoaded) continue;
    if (const polyops_backend* backend = torch_family(f.backend->chip())) registry().add(backend);
    return;
  }
}

// Reads the environment, opens the families of lib_dir and the plug-ins, applies the settings.
void initialize(const std::string& lib_dir) {
  policy() = read_policy();
  set_log(policy().log_dispatch);
  for (const std::string& library : libraries_in(lib_dir)) registry().load(library);
  add_torch_family();
  for (const std::string& entry : policy().plugin_path) {
    for (const std::string& library : libraries_in(entry)) registry().load(library);
  }
  registry().configure(policy());
  set_kept_limit(policy().keep_mb ? *policy().keep_mb << 20 : default_kept_bytes());
}

py::dict memory_dict() {
  const BlockCacheStats stats = memory_stats();
  py::dict d;
  d["keeping"] = is_keeping();
  d["limit_bytes"] = stats.limit;
  d["kept_bytes"] = stats.kept;
  d["in_use_bytes"] = stats.in_use;
  d["reused"] = stats.reused;
  d["fresh"] = stats.fresh;
  return d;
}

}  // namespace

// Leaked: see State in torch/patch.cc.
Registry& registry() {
  static auto* instance = new Registry(warn);
  return *instance;
}

Policy& policy() {
  static auto* instance = new Policy;
  return *instance;
}

PYBIND11_MODULE(_C, m) {
  m.attr("TORCH_VERSION") = TORCH_VERSION;
  m.def("initialize", initialize, py::arg("lib_dir"));
  m.def("families", families);
  m.def("overloads", overload_list);
  m.def("kernels", kernel_list);
  m.def("ops", [] {
    std::vector<std::string> names;
    for (const PublicOp& op : public_ops()) names.emplace_back(op.name);
    return names;
  });
  m.def("policy", policy_dict);
  m.def(
      "load_library", [](const std::string& path) { return family_dict(registry().load(path)); },
      py::arg("path"));
  m.def("patch", [] {
    registry().commit_gates();
    patch();
    start_keeping();
  });
  m.def("unpatch", [] {
    unpatch();
    stop_keeping();
  });
  m.def("is_patched", is_patched);
  m.def("set_enabled", set_enabled, py::arg("op"), py::arg("on"));
  m.def("is_enabled", is_enabled, py::arg("op"));
  m.def("stats", stats);
  m.def("reset_stats", reset_stats);
  m.def("trace", trace, py::arg("fn"));
  m.def("last_call", last_call);
  m.def("sizes_of", sizes_of, py::arg("kernel_op"));
  m.def("set_gate", [](bool on) { registry().set_gate(on); }, py::arg("on"));
  m.def("gate", [] { return registry().gate(); });
  m.def(
      "force",
      [](const std::string& op, const std::optional<std::string>& kernel) {
        registry().force(op, kernel.value_or(""));
      },
      py::arg("kernel_op"), py::arg("kernel"));
  m.def(
      "add_gate",
      [](const std::string& chip, const std::string& kernel, int threads, const std::string& dtype,
         const std::string& layout, const std::vector<int64_t>& sizes,
         float ratio) { registry().add_gate(chip, kernel, threads, dtype, layout, sizes, ratio); },
      py::arg("chip"), py::arg("kernel"), py::arg("threads"), py::arg("dtype"), py::arg("layout"),
      py::arg("sizes"), py::arg("ratio"));
  m.def(
      "pack_matrix",
      [](py::handle weight, bool gated, std::optional<int64_t> max_bytes) {
        return pack_tuple(pack_matrix(unpack_tensor(weight), pack_terms(gated, max_bytes)));
      },
      py::arg("weight"), py::arg("gated"), py::arg("max_bytes") = py::none());
  m.def(
      "pack_convolution",
      [](py::handle weight, const std::vector<int64_t>& stride, const std::vector<int64_t>& padding,
         const std::vector<int64_t>& dilation, int64_t groups, bool gated,
         std::optional<int64_t> max_bytes) {
        return pack_tuple(pack_convolution(unpack_tensor(weight),
                                           {stride, padding, dilation, groups},
                                           pack_terms(gated, max_bytes)));
      },
      py::arg("weight"), py::arg("stride"), py::arg("padding"), py::arg("dilation"),
      py::arg("groups"), py::arg("gated"), py::arg("max_bytes") = py::none());
  m.def("drop_pack", drop_pack, py::arg("id"));
  m.def("pack_bytes", pack_bytes, py::arg("id"));
  m.def("pack_count", [] { return pack_count.load(); });
  m.def("set_kept_limit", set_kept_limit, py::arg("bytes"));
  m.def("release_kept", release_kept);
  m.def("memory_stats", memory_dict);
  m.def("recycle_tensor_memory", recycle_tensor_memory);
  m.def("place_tensors", place_tensors, py::arg("offset"));
  m.def("release_tensor_memory", release_tensor_memory);
  m.def("commit_gates", [] { registry().commit_gates(); });
}

}  // namespace polyops::torch_binding
