#include "simt.h"

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <mutex>

#include "arena.h"
#include "copies.h"
#include "fiber.h"
#include "together.h"

namespace simt {
namespace {

// Which barriers there are, and which is passed through. Launches may come from several threads.
struct Sites {
  std::mutex mutex;
  std::map<std::string, bool> skipped;
  // The same by file and line: every lane asks at every barrier, and a name is long to make.
  std::map<std::pair<const char*, unsigned>, const bool*> skipped_at;
};
Sites& sites() {
  static auto* all = new Sites;
  return *all;
}

// A shuffle's mask that asks which lanes have the same value.
constexpr int kSame = -1;

enum class State { kReady, kAtBarrier, kAtShuffle, kTogether, kAtClusterBarrier, kDone };
constexpr int kStates = 6;

struct Lane {
  Fiber fiber;
  Copies copies;
  int id;
  State state;
  bool has_awaited_earlier;
  uint64_t value;  // handed to a shuffle, or got from it
  int mask;
  void* mine;  // what it has for all() to change together with other lanes'
  void (*all)(void* const* lanes);
};

class Cluster;

class Block {
 public:
  void begin(const Order& order, int64_t id, int64_t blocks, int threads, size_t dynamic_bytes,
             const std::function<void()>& lane, Cluster* of);
  // Every lane that can run does, up to where it waits. False: none could.
  bool step();
  int count(State state) const { return lanes_in_[static_cast<int>(state)]; }
  void release_all();

  Lane& current() { return *current_; }
  void stop(State state) {
    change(*current_, state);
    current_->fiber.leave();
  }

  Order order;
  int64_t id, blocks;
  int threads;
  size_t dynamic_bytes;
  Arena arena;
  Cluster* cluster;

 private:
  static void enter_lane(void* block);
  void run_ready();
  void release_shuffles();
  void release_together();
  void release_barrier();
  void exchange(int first);
  void call_together(int first);
  int count(State state, int first, int lanes) const;
  void change(Lane& lane, State state) {
    --lanes_in_[static_cast<int>(lane.state)];
    ++lanes_in_[static_cast<int>(state)];
    lane.state = state;
  }

  const std::function<void()>* body_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // kept, for their stacks: of the widest block so far
  int lanes_in_[kStates];                     // of this block, by their state
  std::vector<uint64_t> values_;              // of the wave whose lanes exchange them
  Lane* current_ = nullptr;
  std::exception_ptr failure_;
};

// A lane asks for it at each of its steps: read without a call (a fifth of the tests' time).
__attribute__((tls_model("initial-exec"))) thread_local Block* running = nullptr;

void Block::enter_lane(void* data) {
  auto* block = static_cast<Block*>(data);
  try {
    (*block->body_)();
  } catch (...) {
    block->failure_ = std::current_exception();
  }
  block->stop(State::kDone);
}

int Block::count(State state, int first, int lanes) const {
  return static_cast<int>(std::count_if(lanes_.begin() + first, lanes_.begin() + first + lanes,
                                        [&](const auto& lane) { return lane->state == state; }));
}

void Block::run_ready() {
  for (int i = 0; i < threads; ++i) {
    Lane& lane = *lanes_[order.reversed ? threads - 1 - i : i];
    if (lane.state != State::kReady) continue;
    current_ = &lane;
    lane.fiber.enter();
    if (failure_) std::rethrow_exception(failure_);
  }
}

void Block::call_together(int first) {
  void* lanes[kTogether];
  for (int i = 0; i < kTogether; ++i) {
    Lane& lane = *lanes_[first + i];
    if (lane.all != lanes_[first]->all) throw Error("lanes do different things together");
    change(lane, State::kReady);
    lanes[i] = lane.mine;
  }
  lanes_[first]->all(lanes);
}

void Block::exchange(int first) {
  values_.clear();
  for (int i = 0; i < order.wave; ++i) values_.push_back(lanes_[first + i]->value);
  for (int i = 0; i < order.wave; ++i) {
    Lane& lane = *lanes_[first + i];
    if (lane.mask != lanes_[first]->mask)
      throw Error("lanes of a wave ask for other lanes' values");
    change(lane, State::kReady);
    if (lane.mask == kSame) {
      lane.value = 0;
      for (int j = 0; j < order.wave; ++j) lane.value |= uint64_t{values_[j] == values_[i]} << j;
      continue;
    }
    if (lane.mask < 0 || lane.mask >= order.wave) throw Error("a shuffle beyond the wave");
    lane.value = values_[i ^ lane.mask];
  }
}

void Block::release_shuffles() {
  for (int first = 0; first < threads; first += order.wave) {
    const int shuffling = count(State::kAtShuffle, first, order.wave);
    if (shuffling == order.wave) {
      exchange(first);
    } else if (shuffling != 0) {
      throw Error("a shuffle that only a part of its wave reaches");
    }
  }
}

void Block::release_together() {
  for (int first = 0; first < threads; first += kTogether) {
    const int together = count(State::kTogether, first, std::min(kTogether, threads - first));
    if (together == kTogether) {
      call_together(first);
    } else if (together != 0) {
      throw Error("what lanes do together, only a part of them reaches");
    }
  }
}

void Block::release_all() {
  for (int i = 0; i < threads; ++i) lanes_[i]->state = State::kReady;
  std::fill_n(lanes_in_, kStates, 0);
  lanes_in_[static_cast<int>(State::kReady)] = threads;
}

void Block::release_barrier() {
  if (count(State::kAtBarrier) == threads) {
    release_all();
  } else if (count(State::kReady) == 0) {
    throw Error("a barrier that only a part of its block reaches");
  }
}

bool Block::step() {
  if (count(State::kReady) == 0) return false;
  running = this;
  run_ready();
  if (count(State::kAtShuffle) != 0) release_shuffles();
  if (count(State::kTogether) != 0) release_together();
  if (count(State::kAtBarrier) != 0) release_barrier();
  return true;
}

void Block::begin(const Order& the_order, int64_t the_id, int64_t all_blocks, int all_threads,
                  size_t bytes, const std::function<void()>& lane, Cluster* of) {
  order = the_order;
  id = the_id;
  blocks = all_blocks;
  threads = all_threads;
  dynamic_bytes = bytes;
  cluster = of;
  body_ = &lane;
  failure_ = nullptr;
  arena.clear();
  while (lanes_.size() < static_cast<size_t>(threads)) lanes_.push_back(std::make_unique<Lane>());
  release_all();
  for (int i = 0; i < threads; ++i) {
    lanes_[i]->id = i;
    lanes_[i]->has_awaited_earlier = false;
    lanes_[i]->copies.clear();
    lanes_[i]->fiber.prepare(enter_lane, this);
  }
}

class Cluster {
 public:
  void run(const Order& order, int64_t first, int64_t blocks, int threads, size_t dynamic_bytes,
           const std::function<void()>& lane, int size);
  Block& block(int rank) { return *blocks_[rank]; }
  int size() const { return size_; }

 private:
  bool step();
  void release_barrier();

  std::vector<std::unique_ptr<Block>> blocks_;  // kept, for their stacks and their memory
  int size_ = 0;
  bool reversed_ = false;
};

// Each block goes as far as it can before the next one begins.
bool Cluster::step() {
  bool ran = false;
  for (int i = 0; i < size_; ++i) {
    while (block(reversed_ ? size_ - 1 - i : i).step()) ran = true;
  }
  return ran;
}

void Cluster::release_barrier() {
  int waiting = 0, ready = 0;
  for (int i = 0; i < size_; ++i) {
    waiting += block(i).count(State::kAtClusterBarrier);
    ready += block(i).count(State::kReady);
  }
  if (waiting == 0 || ready != 0) return;
  if (waiting != size_ * block(0).threads) {
    throw Error("a barrier that only a part of its cluster reaches");
  }
  for (int i = 0; i < size_; ++i) block(i).release_all();
}

void Cluster::run(const Order& order, int64_t first, int64_t blocks, int threads, size_t bytes,
                  const std::function<void()>& lane, int size) {
  size_ = size;
  reversed_ = order.reversed;
  while (blocks_.size() < static_cast<size_t>(size)) blocks_.push_back(std::make_unique<Block>());
  for (int i = 0; i < size; ++i) {
    block(i).begin(order, first + i, blocks, threads, bytes, lane, this);
  }
  while (step()) release_barrier();
  for (int i = 0; i < size; ++i) block(i).arena.check_guards();
}

// The state of a launch of this thread.
Cluster& cluster_of_thread() {
  thread_local Cluster cluster;
  return cluster;
}

}  // namespace

void run(const Order& order, int64_t blocks, int threads, size_t dynamic_bytes,
         const std::function<void()>& lane, int size) {
  if (running != nullptr) throw Error("a launch within a kernel");
  if (blocks < 1) throw Error("a launch of no blocks");
  if (threads < 1 || threads > kMostThreads || threads % order.wave != 0) {
    throw Error("blocks of " + std::to_string(threads) + " threads");
  }
  if (dynamic_bytes > most_shared()) throw Error("too much dynamic shared memory");
  if (size < 1 || size > kMostWhole || blocks % size != 0) {
    throw Error("clusters of " + std::to_string(size) + " blocks");
  }
  Cluster& cluster = cluster_of_thread();
  try {
    for (int64_t i = 0; i < blocks; i += size) {
      cluster.run(order, order.reversed ? blocks - size - i : i, blocks, threads, dynamic_bytes,
                  lane, size);
    }
  } catch (...) {
    running = nullptr;
    throw;
  }
  running = nullptr;
}

int thread_id() { return running->current().id; }
int block_threads() { return running->threads; }
int64_t block_id() { return running->id; }
int64_t grid_blocks() { return running->blocks; }
int wave_size() { return running->order.wave; }

void await_earlier() { running->current().has_awaited_earlier = true; }

namespace {
void require_awaited() {
  if (!running->current().has_awaited_earlier) {
    throw Error("a lane that has not awaited what is earlier");
  }
}
}  // namespace

void let_later_begin() { require_awaited(); }
void end_kernel() { require_awaited(); }

namespace {

bool is_skipped(const std::source_location& where) {
  std::lock_guard lock(sites().mutex);
  const bool*& skipped = sites().skipped_at[{where.file_name(), where.line()}];
  if (skipped == nullptr) {
    const std::string file = where.file_name();
    const std::string name = file.substr(file.rfind('/') + 1) + ":" + std::to_string(where.line());
    skipped = &sites().skipped[name];
  }
  return *skipped;
}

}  // namespace

// What stops here may never go on: nothing that owns memory is alive.
void barrier(const std::source_location& where) {
  if (!is_skipped(where)) running->stop(State::kAtBarrier);
}

namespace {
thread_local Order order_of_thread = {32, false};
thread_local size_t most_shared_of_thread = kMostShared;
}  // namespace
void set_order(const Order& order, size_t most_shared) {
  order_of_thread = order;
  most_shared_of_thread = most_shared;
}
const Order& order() { return order_of_thread; }
size_t most_shared() { return most_shared_of_thread; }

void cluster_barrier(const std::source_location& where) {
  if (!is_skipped(where)) running->stop(State::kAtClusterBarrier);
}

int cluster_blocks() { return running->cluster->size(); }
int cluster_rank() { return static_cast<int>(running->id % cluster_blocks()); }

void* in_block(int rank, void* mine) {
  if (rank < 0 || rank >= cluster_blocks()) throw Error("a block beyond the cluster");
  void* place = running->arena.counterpart(mine, running->cluster->block(rank).arena);
  if (place == nullptr) throw Error("shared memory of a block that has not begun");
  return place;
}

uint64_t shuffle_xor(uint64_t value, int mask) {
  Lane& lane = running->current();
  lane.value = value;
  lane.mask = mask;
  running->stop(State::kAtShuffle);
  return lane.value;
}

uint64_t same_lanes(uint64_t value) { return shuffle_xor(value, kSame); }

void together(void* mine, void (*all)(void* const* lanes)) {
  running->current().mine = mine;
  running->current().all = all;
  running->stop(State::kTogether);
}

void wave_barrier(const std::source_location& where) {
  if (!is_skipped(where)) shuffle_xor(0, 0);
}

void* shared(const void* tag, size_t bytes) {
  return running->arena.array(tag, bytes, kMostStaticShared);
}

void* dynamic_shared() {
  static const char tag = 0;
  return running->arena.array(&tag, running->dynamic_bytes, most_shared());
}

void copy_later(void* to, const void* from, size_t bytes) {
  if (!is_shared(to)) throw Error("an asynchronous copy to no shared memory");
  running->current().copies.begin(to, from, bytes);
}

void close_copies() { running->current().copies.close(); }

void wait_copies(int but) { running->current().copies.wait(static_cast<size_t>(but)); }

bool is_shared(const void* place) { return running->arena.has(place); }

std::vector<std::string> barriers() {
  std::lock_guard lock(sites().mutex);
  std::vector<std::string> names;
  for (const auto& [name, skipped] : sites().skipped) names.push_back(name);
  return names;
}

void forget_barriers() {
  std::lock_guard lock(sites().mutex);
  sites().skipped_at.clear();
  sites().skipped.clear();
}

void fill_shared(unsigned char byte) { Arena::fill = byte; }

void skip_barrier(const std::string& name) {
  std::lock_guard lock(sites().mutex);
  for (auto& [known, skipped] : sites().skipped) skipped = known == name;
}

}  // namespace simt
