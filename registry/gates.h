// Gates: where a kernel was measured to be faster than stock. Data, not code: points measured by
// the benchmark on a chip, read from its gate file. A call takes the verdict of the nearest point.
#ifndef POLYOPS_REGISTRY_GATES_H_
#define POLYOPS_REGISTRY_GATES_H_

#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "op_list.h"

namespace polyops {

inline constexpr const char kNotMeasured[] = "gate: not measured";

// One measurement: ratio = time of stock / time of the kernel.
struct GatePoint {
  float log_sizes[kMaxGateSizes];
  float ratio;
};

// The points of one kernel on one chip.
class GateTable {
 public:
  void add(int threads, const GateKey& key, float ratio);

  // The ratio of the measured point nearest to the call, in the sum of |log2| of the size ratios;
  // 0 if there is none of that thread class, dtype and layout within kReach.
  float nearest(int threads, const GateKey& key) const;

  bool empty() const { return buckets_.empty(); }

 private:
  struct Bucket {
    int thread_class;
    int32_t dtype;
    const char* layout;
    std::vector<GatePoint> points;
  };
  const Bucket* find(int threads, const GateKey& key) const;

  std::vector<Bucket> buckets_;
};

// What decides about one kernel on the chip at hand.
class Gate {
 public:
  // own: the kernel's points on this chip, if there are any. chip_is_measured: the chip
  // has a gate file. others: its points on every other chip that has some.
  Gate(std::optional<GateTable> own, bool chip_is_measured, std::vector<GateTable> others)
      : own_(std::move(own)), chip_is_measured_(chip_is_measured), others_(std::move(others)) {}

  // nullptr: open. Otherwise the reason for which it is shut, of static lifetime. A thread
  // remembers its last answers: models repeat their shapes, and the search costs 60 ns that a
  // declined call of 1 us does not have.
  const char* check(int threads, const GateKey& key) const;

  // The chip was measured, but not this kernel on it: an instruction set that others are better
  // than. Or neither it nor any other chip was, with this kernel.
  bool never_opens() const { return chip_is_measured_ ? !own_ : others_.empty(); }

 private:
  const char* search(int threads, const GateKey& key) const;
  static uint64_t next_id();

  uint64_t id_ = next_id();  // of this gate and its copies alone, in the life of the process
  std::optional<GateTable> own_;
  bool chip_is_measured_;
  std::vector<GateTable> others_;
};

// Everything that was measured: chip -> kernel -> points.
class GateStore {
 public:
  void add(const std::string& chip, const std::string& kernel, int threads, const GateKey& key,
           float ratio);
  // The gate as of the points added so far. Never changed and never freed while the store lives:
  // calls may be reading it.
  const Gate* gate_for(const std::string& chip, const std::string& kernel);
  bool measured(const std::string& chip) const { return tables_.contains(chip); }
  // The thread classes in which this chip was measured, e.g. "1, 2-3".
  std::string thread_classes(const std::string& chip) const;

 private:
  std::map<std::string, std::map<std::string, GateTable>> tables_;
  std::map<std::string, std::set<int>> classes_;
  std::map<std::pair<std::string, std::string>, const Gate*> current_;
  std::deque<Gate> gates_;  // all there ever were
};

// Thread counts with the same power of two share their figures: 1, 2-3, 4-7, 8-15, ...
int thread_class(int threads);

// log2 with a linear mantissa: off by at most 0.086, the same on both sides of a comparison.
float approximate_log2(int64_t n);

}  // namespace polyops

#endif  // POLYOPS_REGISTRY_GATES_H_
