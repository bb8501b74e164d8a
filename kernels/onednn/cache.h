// What was made for a key, kept by the thread that made it: a primitive costs some 100 us to make
// and less than one to run again.
#ifndef POLYOPS_ONEDNN_CACHE_H_
#define POLYOPS_ONEDNN_CACHE_H_

#include <cstdint>
#include <cstring>
#include <memory>
#include <type_traits>
#include <unordered_map>

namespace polyops::onednn {

// Key: a struct of int64_t alone.
template <class Key, class Value>
class Cache {
 public:
  // Calls make() for what is not there. The value outlives its place in here. A program that never
  // repeats its shapes would fill the memory: all is dropped when too much has come together.
  template <class Make>
  std::shared_ptr<Value> get(const Key& key, const Make& make) {
    if (const auto known = values_.find(key); known != values_.end()) return known->second;
    auto made = std::make_shared<Value>(make());
    if (values_.size() >= kMost) values_.clear();
    values_.emplace(key, made);
    return made;
  }

 private:
  static_assert(std::has_unique_object_representations_v<Key>);
  static_assert(sizeof(Key) % sizeof(int64_t) == 0);
  static constexpr size_t kMost = 256;

  struct Hash {
    size_t operator()(const Key& key) const {
      constexpr uint64_t kOdd = 0x9e3779b97f4a7c15;
      uint64_t words[sizeof(Key) / sizeof(int64_t)], hash = 0;
      std::memcpy(words, &key, sizeof key);
      for (const uint64_t word : words) hash = (hash ^ word ^ hash >> 32) * kOdd;
      return hash;
    }
  };
  struct Equal {
    bool operator()(const Key& a, const Key& b) const { return std::memcmp(&a, &b, sizeof a) == 0; }
  };

  std::unordered_map<Key, std::shared_ptr<Value>, Hash, Equal> values_;
};

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_CACHE_H_
