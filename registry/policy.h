// What the user asked for through POLYOPS_* environment variables.
#ifndef POLYOPS_REGISTRY_POLICY_H_
#define POLYOPS_REGISTRY_POLICY_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace polyops {

struct Policy {
  bool autopatch = true;                     // POLYOPS_AUTOPATCH
  bool gate = true;                          // POLYOPS_GATE
  bool log_dispatch = false;                 // POLYOPS_LOG=dispatch
  std::string cpu_isa;                       // POLYOPS_CPU_ISA; empty: all that the machine runs
  std::map<std::string, bool> op_switches;   // POLYOPS_OP_<OP>
  std::set<std::string> disabled;            // POLYOPS_DISABLE
  std::set<std::string> enabled;             // POLYOPS_ENABLE; empty: all
  std::map<std::string, std::string> force;  // POLYOPS_FORCE: kernel op -> kernel
  std::optional<size_t> keep_mb;             // POLYOPS_KEEP_MB: MiB of freed tensors' memory
  std::vector<std::string> plugin_path;      // POLYOPS_PLUGIN_PATH: libraries or folders of them

  // POLYOPS_OP_* decides, else POLYOPS_DISABLE, else POLYOPS_ENABLE, else on.
  bool op_enabled(const std::string& op) const;
};

// Reads the process's environment. std::invalid_argument, naming the variable and what it may be,
// for an unknown variable, op or value; kernel and ISA names are checked once the families are
// known (Registry::configure).
Policy read_policy();

// The same from given variables (name -> value); others than POLYOPS_* are ignored.
Policy parse_policy(const std::map<std::string, std::string>& variables);

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_POLICY_H_
