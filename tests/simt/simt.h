// Runs a GPU kernel on the CPU, lane by lane, each lane a fiber. What a GPU leaves undefined is an
// error here: a barrier or a shuffle that some lanes do not reach, a shuffle whose lanes ask
// differently, a write beyond a shared array, into one of a block that has not begun, more shared
// memory than the device has, a kernel that does not wait for what was launched before it. Shared
// memory begins as NaN, and lanes can run in either order, so that a barrier left out shows; so is
// what a lane copies asynchronously, until that lane waits for it. Not modelled: copies of runs,
// memory order between blocks, bank conflicts, speed.
#ifndef POLYOPS_TESTS_SIMT_SIMT_H_
#define POLYOPS_TESTS_SIMT_SIMT_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <source_location>
#include <stdexcept>
#include <string>
#include <vector>

namespace simt {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Order {
  int wave;       // lanes in a wave
  bool reversed;  // lanes, waves and blocks run last to first
};
// Limits of a launch.
inline constexpr int kMostThreads = 1024;
inline constexpr size_t kMostStaticShared = 48 << 10;
inline constexpr size_t kMostShared = 160 << 10;
inline constexpr int kMostCluster = 4;
inline constexpr int kMostWhole = 6;  // blocks of a grid at once: two to a multiprocessor

// How this thread runs what it launches, and the shared memory that a block can have.
void set_order(const Order& order, size_t most_shared = kMostShared);
const Order& order();
size_t most_shared();

// Runs the lanes of all blocks, those of a cluster at the same time. Throws Error for what the
// file's head calls one.
void run(const Order& order, int64_t blocks, int threads, size_t dynamic_shared_bytes,
         const std::function<void()>& lane, int cluster = 1);

// ---- What a running lane asks.

int thread_id();
int block_threads();
int64_t block_id();
int64_t grid_blocks();
int wave_size();

// What was launched before has ended, as here it has anyhow. A lane that has not asked can neither
// let others begin nor end its kernel: on a device it may have read or stored too soon.
void await_earlier();
void let_later_begin();
void end_kernel();

void barrier(const std::source_location& where);
uint64_t shuffle_xor(uint64_t value, int mask);
// The lanes of the wave that have this value, as bits.
uint64_t same_lanes(uint64_t value);
void wave_barrier(const std::source_location& where);

int cluster_blocks();
int cluster_rank();
void cluster_barrier(const std::source_location& where);
// Where a place in the running block's shared memory is in that block of the cluster. An error
// while that one has not come to the array's declaration.
void* in_block(int rank, void* mine);

// The block's array that belongs to the declaration `tag`.
void* shared(const void* tag, size_t bytes);
void* dynamic_shared();
// A lane's copies of 16 bytes, of which those beyond `bytes` become zero, in groups. They arrive
// where the lane waits for all groups but the last ones.
void copy_later(void* to, const void* from, size_t bytes);
void close_copies();
void wait_copies(int but);
// Whether it is in the block's shared memory.
bool is_shared(const void* place);

// ---- Barriers, one by one: would their loss be noticed?

// "file:line" of each barrier that any lane has reached since forget_barriers().
std::vector<std::string> barriers();
void forget_barriers();
// That one is passed through from now on; an empty name ends it.
void skip_barrier(const std::string& name);
// Shared memory begins as bytes like this from now on.
void fill_shared(unsigned char byte);

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_SIMT_H_
