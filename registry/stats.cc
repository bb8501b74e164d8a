#include "stats.h"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <mutex>
#include <set>

namespace polyops {
namespace {

// A growing list of (name, count) with one writer, its thread. Readers on other threads see every
// entry whose name is set. A handful of names occur per op, so a linear search is enough.
class Counters {
 public:
  ~Counters() { delete next_.load(std::memory_order_relaxed); }

  void add(const char* name) {
    for (Entry& e : entries_) {
      const char* known = e.name.load(std::memory_order_relaxed);
      if (known == nullptr) {
        e.name.store(name, std::memory_order_release);
      } else if (known != name) {
        continue;
      }
      e.count.store(e.count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      return;
    }
    Counters* next = next_.load(std::memory_order_relaxed);
    if (next == nullptr) {
      next = new Counters;
      next_.store(next, std::memory_order_release);
    }
    next->add(name);
  }

  void read(std::map<std::string, uint64_t>* totals) const {
    for (const Entry& e : entries_) {
      const char* name = e.name.load(std::memory_order_acquire);
      if (name == nullptr) return;
      (*totals)[name] += e.count.load(std::memory_order_relaxed);
    }
    const Counters* next = next_.load(std::memory_order_acquire);
    if (next != nullptr) next->read(totals);
  }

 private:
  struct Entry {
    std::atomic<const char*> name{nullptr};
    std::atomic<uint64_t> count{0};
  };
  Entry entries_[8];
  std::atomic<Counters*> next_{nullptr};
};

struct OpCounters {
  Counters kernels;
  Counters reasons;
};

struct Totals {
  std::map<std::string, uint64_t> kernels;
  std::map<std::string, uint64_t> reasons;
};

// Leaked: threads may end after static destructors have run.
struct Shared {
  std::mutex mutex;
  std::set<OpCounters*> threads;  // one array of public_ops().size() per live thread
  std::vector<Totals> ended;      // what threads that ended had counted
  std::vector<Totals> baseline;   // what reset_stats() hides
  std::vector<Event> trace;
  std::atomic<bool> tracing{false};
  std::atomic<bool> logging{false};

  Shared() : ended(public_ops().size()), baseline(public_ops().size()) {}
};

Shared& shared() {
  static auto* instance = new Shared;
  return *instance;
}

void add_to(std::vector<Totals>* totals, const OpCounters* ops) {
  for (size_t i = 0; i < totals->size(); ++i) {
    ops[i].kernels.read(&(*totals)[i].kernels);
    ops[i].reasons.read(&(*totals)[i].reasons);
  }
}

// The calling thread's counters: one per op.
thread_local OpCounters* counters_of_thread = nullptr;

// Folds them into `ended` when the thread ends.
struct EndOfThread {
  ~EndOfThread() {
    std::lock_guard lock(shared().mutex);
    add_to(&shared().ended, counters_of_thread);
    shared().threads.erase(counters_of_thread);
    delete[] counters_of_thread;
    counters_of_thread = nullptr;
  }
  void watch() {}  // using it is what makes it
};

// Objects of the thread that are destroyed later may still make calls. Those get counters anew,
// which nobody watches: they stay listed, and are read, for ever.
OpCounters& mine(int op) {
  if (counters_of_thread == nullptr) {
    counters_of_thread = new OpCounters[public_ops().size()];
    {
      std::lock_guard lock(shared().mutex);
      shared().threads.insert(counters_of_thread);
    }
    thread_local EndOfThread end;
    end.watch();
  }
  return counters_of_thread[op];
}

std::vector<Totals> sum_all() {
  std::vector<Totals> totals = shared().ended;
  for (const OpCounters* ops : shared().threads) add_to(&totals, ops);
  return totals;
}

std::map<std::string, uint64_t> since(const std::map<std::string, uint64_t>& now,
                                      const std::map<std::string, uint64_t>& then) {
  std::map<std::string, uint64_t> difference;
  for (const auto& [name, count] : now) {
    const auto it = then.find(name);
    const uint64_t before = it == then.end() ? 0 : it->second;
    if (count > before) difference[name] = count - before;
  }
  return difference;
}

}  // namespace

void count_hit(int op, const char* kernel) { mine(op).kernels.add(kernel); }
void count_declined(int op, const char* reason) { mine(op).reasons.add(reason); }

std::map<std::string, OpStats> read_stats() {
  std::lock_guard lock(shared().mutex);
  const std::vector<Totals> totals = sum_all();
  std::map<std::string, OpStats> result;
  for (size_t i = 0; i < totals.size(); ++i) {
    OpStats& op = result[public_ops()[i].name];
    op.kernels = since(totals[i].kernels, shared().baseline[i].kernels);
    op.declined = since(totals[i].reasons, shared().baseline[i].reasons);
    for (const auto& [name, count] : op.kernels) op.hits += count;
  }
  return result;
}

void reset_stats() {
  std::lock_guard lock(shared().mutex);
  shared().baseline = sum_all();
}

bool observed() {
  return shared().tracing.load(std::memory_order_relaxed) ||
         shared().logging.load(std::memory_order_relaxed);
}

void observe(const Event& event) {
  if (shared().logging.load(std::memory_order_relaxed)) {
    const bool hit = event.kernel != nullptr;
    std::fprintf(stderr, "polyops: %s -> %s%s\n", event.overload,
                 hit ? "" : "stock: ", hit ? event.kernel : event.reason);
  }
  if (shared().tracing.load(std::memory_order_relaxed)) {
    std::lock_guard lock(shared().mutex);
    shared().trace.push_back(event);
  }
}

void set_log(bool on) { shared().logging.store(on, std::memory_order_relaxed); }

void start_trace() {
  std::lock_guard lock(shared().mutex);
  shared().trace.clear();
  shared().tracing.store(true, std::memory_order_relaxed);
}

std::vector<Event> stop_trace() {
  std::lock_guard lock(shared().mutex);
  shared().tracing.store(false, std::memory_order_relaxed);
  return std::move(shared().trace);
}

}  // namespace polyops
