// Opens a device family's library and checks what it says of itself.
#ifndef POLYOPS_REGISTRY_LOADER_H_
#define POLYOPS_REGISTRY_LOADER_H_

#include <string>
#include <vector>

#include "polyops/abi.h"

namespace polyops {

struct Opened {
  const polyops_backend* backend = nullptr;  // nullptr: refused,
  std::string reason;                        // and why: what was expected and what was found
};

// Never throws, never unloads. The library stays open even when refused: its code may have run.
Opened open_backend(const std::string& path);

// The checks on a table that a library, or the program itself, hands over. Empty: it is fine.
std::string check_backend(const polyops_backend* backend);

// The backend's own probe, and its answers to what may be asked after it. Empty: this machine runs
// it.
std::string probe_backend(const polyops_backend& backend);

// The libraries that a POLYOPS_PLUGIN_PATH entry names: itself, or a folder's libpolyops_*.so.
std::vector<std::string> libraries_in(const std::string& entry);

// The text that the last failed launch on this thread left through set_error().
const std::string& last_error();

// What backends get as host->set_error(), for one that lives in the program itself.
void set_error(const char* message);

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_LOADER_H_
