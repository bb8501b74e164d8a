// The only reader of POLYOPS_* variables (but for POLYOPS_AUTOLOAD, which decides in Python whether
// this library is opened at all).
#include "policy.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <stdexcept>
#include <string_view>

#include "op_list.h"

namespace polyops {
namespace {

constexpr std::string_view kPrefix = "POLYOPS_";
constexpr std::string_view kOpPrefix = "POLYOPS_OP_";

[[noreturn]] void fail(const std::string& name, const std::string& value,
                       const std::string& expected) {
  throw std::invalid_argument(name + "=" + value + ": " + expected);
}

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= text.size()) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    std::string part = text.substr(begin, end - begin);
    part.erase(0, part.find_first_not_of(" \t"));
    part.erase(part.find_last_not_of(" \t") + 1);
    if (!part.empty()) parts.push_back(part);
    begin = end + 1;
  }
  return parts;
}

bool parse_bool(const std::string& name, const std::string& value) {
  if (value == "0") return false;
  if (value == "1") return true;
  fail(name, value, "expected 0 or 1");
}

size_t parse_mb(const std::string& name, const std::string& value) {
  size_t mb = 0;
  const char* end = value.data() + value.size();
  const auto read = std::from_chars(value.data(), end, mb);
  if (read.ec != std::errc() || read.ptr != end || mb > SIZE_MAX >> 20) {
    fail(name, value, "expected a number of MiB, 0 for none");
  }
  return mb;
}

std::string checked_op(const std::string& name, const std::string& value, const std::string& op) {
  if (public_op_index(op) < 0) {
    fail(name, value, "unknown op '" + op + "'; known ops: " + known_public_ops());
  }
  return op;
}

std::set<std::string> parse_ops(const std::string& name, const std::string& value) {
  std::set<std::string> ops;
  for (const std::string& op : split(value, ',')) ops.insert(checked_op(name, value, op));
  // An empty set would mean all of them to one variable and none to the other.
  if (ops.empty()) fail(name, value, "names no op; known ops: " + known_public_ops());
  return ops;
}

std::map<std::string, std::string> parse_force(const std::string& name, const std::string& value) {
  const std::string expected = "expected op=kernel[,op=kernel...]";
  std::map<std::string, std::string> force;
  for (const std::string& item : split(value, ',')) {
    const size_t equals = item.find('=');
    if (equals == std::string::npos || equals + 1 == item.size()) fail(name, value, expected);
    const std::string op = item.substr(0, equals);
    if (find_kernel_op(op) == nullptr) {
      fail(name, value, "unknown op '" + op + "'; known: " + known_kernel_ops());
    }
    force[op] = item.substr(equals + 1);
  }
  if (force.empty()) fail(name, value, expected);
  return force;
}

std::string lower(std::string_view text) {
  std::string result(text);
  std::transform(result.begin(), result.end(), result.begin(),
                 [](unsigned char c) { return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c; });
  return result;
}

void apply(Policy* policy, const std::string& name, const std::string& value) {
  if (name == "POLYOPS_AUTOPATCH") {
    policy->autopatch = parse_bool(name, value);
  } else if (name == "POLYOPS_GATE") {
    policy->gate = parse_bool(name, value);
  } else if (name == "POLYOPS_LOG") {
    if (value != "dispatch") fail(name, value, "expected dispatch");
    policy->log_dispatch = true;
  } else if (name == "POLYOPS_CPU_ISA") {
    policy->cpu_isa = value;
  } else if (name == "POLYOPS_DISABLE") {
    policy->disabled = parse_ops(name, value);
  } else if (name == "POLYOPS_ENABLE") {
    policy->enabled = parse_ops(name, value);
  } else if (name == "POLYOPS_FORCE") {
    policy->force = parse_force(name, value);
  } else if (name == "POLYOPS_KEEP_MB") {
    policy->keep_mb = parse_mb(name, value);
  } else if (name == "POLYOPS_PLUGIN_PATH") {
    policy->plugin_path = split(value, ':');
  } else if (name.starts_with(kOpPrefix)) {
    const std::string op = checked_op(name, value, lower(name.substr(kOpPrefix.size())));
    policy->op_switches[op] = parse_bool(name, value);
  } else if (name != "POLYOPS_AUTOLOAD") {
    fail(name, value,
         "unknown variable; known: POLYOPS_AUTOLOAD, POLYOPS_AUTOPATCH, POLYOPS_CPU_ISA, "
         "POLYOPS_DISABLE, POLYOPS_ENABLE, POLYOPS_FORCE, POLYOPS_GATE, POLYOPS_KEEP_MB, "
         "POLYOPS_LOG, POLYOPS_OP_<OP>, POLYOPS_PLUGIN_PATH");
  }
}

}  // namespace

bool Policy::op_enabled(const std::string& op) const {
  if (const auto it = op_switches.find(op); it != op_switches.end()) return it->second;
  if (disabled.contains(op)) return false;
  return enabled.empty() || enabled.contains(op);
}

Policy parse_policy(const std::map<std::string, std::string>& variables) {
  Policy policy;
  for (const auto& [name, value] : variables) {
    if (name.starts_with(kPrefix) && !value.empty()) apply(&policy, name, value);
  }
  return policy;
}

Policy read_policy() {
  std::map<std::string, std::string> variables;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || !text.starts_with(kPrefix)) continue;
    variables.emplace(text.substr(0, equals), text.substr(equals + 1));
  }
  return parse_policy(variables);
}

}  // namespace polyops
