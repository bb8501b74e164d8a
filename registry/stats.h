// Every call that reaches a wrapped overload is counted here, per thread, without a lock.
#ifndef POLYOPS_REGISTRY_STATS_H_
#define POLYOPS_REGISTRY_STATS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "op_list.h"

namespace polyops {

struct OpStats {
  uint64_t hits = 0;
  std::map<std::string, uint64_t> declined;  // reason -> calls
  std::map<std::string, uint64_t> kernels;   // kernel -> calls; their sum is hits
};

// What became of one call. Exactly one of kernel and reason is set; strings of static lifetime.
struct Event {
  const char* overload = nullptr;
  const char* kernel = nullptr;
  const char* reason = nullptr;
  GateKey key;  // of a hit
  int threads = 0;
};

// op is an index into public_ops().
void count_hit(int op, const char* kernel);
void count_declined(int op, const char* reason);

// Since the start of the process or the last reset, over all threads, ended ones included.
std::map<std::string, OpStats> read_stats();
void reset_stats();

// While anybody observes (a trace, or the log), calls report themselves in detail.
bool observed();
void observe(const Event& event);

void set_log(bool on);            // one line per event on stderr
void start_trace();               // forgets what an earlier trace recorded
std::vector<Event> stop_trace();  // what was observed since, on any thread, in order

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_STATS_H_
