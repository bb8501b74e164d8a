#include "gates.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

namespace polyops {
namespace {

// A measured chip runs what won there by more than a measurement errs (3 % where memory decides: a
// kernel at parity gains nothing and may lose that); another chip what won clearly on all measured.
constexpr float kFaster = 1.03f;
constexpr float kConservative = 1.3f;

// Beyond a factor of 2^kReach from every measured size, nothing is known.
constexpr float kReach = 8.0f;

struct Answer {
  uint64_t gate = 0;  // its id
  int threads = 0;
  GateKey key;
  const char* reason = nullptr;
};

// Where a thread remembers the answer to that question, or another that falls on the same place.
Answer& place_of(uint64_t gate, int threads, const GateKey& key) {
  constexpr int kBits = 8;
  thread_local Answer answers[1 << kBits];
  constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
  uint64_t hash = gate * kOdd + static_cast<uint64_t>(threads);
  for (const int64_t size : key.sizes) hash = (hash ^ static_cast<uint64_t>(size)) * kOdd;
  return answers[hash >> (64 - kBits)];
}

}  // namespace

int thread_class(int threads) {
  return std::bit_width(static_cast<unsigned>(threads > 0 ? threads : 1)) - 1;
}

float approximate_log2(int64_t n) {
  if (n <= 0) return 0;
  const int exponent = std::bit_width(static_cast<uint64_t>(n)) - 1;
  return static_cast<float>(exponent - 1) +
         static_cast<float>(n) / static_cast<float>(int64_t{1} << exponent);
}

const GateTable::Bucket* GateTable::find(int threads, const GateKey& key) const {
  const int wanted = thread_class(threads);
  for (const Bucket& b : buckets_) {
    // Layouts are the op list's own strings, so the pointer says it all.
    if (b.thread_class == wanted && b.dtype == key.dtype && b.layout == key.layout) return &b;
  }
  return nullptr;
}

void GateTable::add(int threads, const GateKey& key, float ratio) {
  GatePoint point = {{}, ratio};
  for (int i = 0; i < kMaxGateSizes; ++i) point.log_sizes[i] = approximate_log2(key.sizes[i]);
  auto* bucket = const_cast<Bucket*>(find(threads, key));
  if (bucket == nullptr) {
    bucket = &buckets_.emplace_back(Bucket{thread_class(threads), key.dtype, key.layout, {}});
  }
  for (GatePoint& known : bucket->points) {
    if (std::equal(known.log_sizes, known.log_sizes + kMaxGateSizes, point.log_sizes)) {
      known.ratio = std::min(known.ratio, ratio);
      return;
    }
  }
  bucket->points.push_back(point);
}

float GateTable::nearest(int threads, const GateKey& key) const {
  const Bucket* bucket = find(threads, key);
  if (bucket == nullptr) return 0;
  float wanted[kMaxGateSizes];
  for (int i = 0; i < kMaxGateSizes; ++i) wanted[i] = approximate_log2(key.sizes[i]);
  float best = kReach, ratio = 0;
  for (const GatePoint& point : bucket->points) {
    float distance = 0;
    for (int i = 0; i < kMaxGateSizes; ++i) distance += std::fabs(point.log_sizes[i] - wanted[i]);
    // Of two points equally near, the slower one decides.
    if (distance < best || (distance == best && point.ratio < ratio)) {
      best = distance;
      ratio = point.ratio;
    }
  }
  return ratio;
}

const char* Gate::check(int threads, const GateKey& key) const {
  Answer& answer = place_of(id_, threads, key);
  if (answer.gate != id_ || answer.threads != threads || answer.key != key) {
    answer = {id_, threads, key, search(threads, key)};
  }
  return answer.reason;
}

uint64_t Gate::next_id() {
  static std::atomic<uint64_t> last{0};
  return ++last;
}

const char* Gate::search(int threads, const GateKey& key) const {
  if (never_opens()) return kNotMeasured;
  if (chip_is_measured_) {
    const float ratio = own_->nearest(threads, key);
    if (ratio == 0) return kNotMeasured;
    return ratio >= kFaster ? nullptr : "gate: not faster";
  }
  for (const GateTable& table : others_) {
    if (table.nearest(threads, key) < kConservative) return "gate: chip not measured";
  }
  return nullptr;
}

void GateStore::add(const std::string& chip, const std::string& kernel, int threads,
                    const GateKey& key, float ratio) {
  tables_[chip][kernel].add(threads, key, ratio);
  classes_[chip].insert(thread_class(threads));
  current_.clear();
}

const Gate* GateStore::gate_for(const std::string& chip, const std::string& kernel) {
  const Gate*& current = current_[{chip, kernel}];
  if (current != nullptr) return current;
  std::optional<GateTable> own;
  std::vector<GateTable> others;
  for (const auto& [measured_chip, kernels] : tables_) {
    const auto it = kernels.find(kernel);
    if (it == kernels.end()) continue;
    if (measured_chip == chip) {
      own = it->second;
    } else {
      others.push_back(it->second);
    }
  }
  current = &gates_.emplace_back(std::move(own), measured(chip), std::move(others));
  return current;
}

std::string GateStore::thread_classes(const std::string& chip) const {
  std::vector<std::string> names;
  const auto it = classes_.find(chip);
  if (it == classes_.end()) return "";
  for (const int c : it->second) {
    const int first = 1 << c, last = (2 << c) - 1;
    names.push_back(first == last ? std::to_string(first)
                                  : std::to_string(first) + "-" + std::to_string(last));
  }
  return join(names);
}

}  // namespace polyops
