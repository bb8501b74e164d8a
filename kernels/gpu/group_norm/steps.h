// Groups that are read twice, a few at a time, so that the second-level cache has them when they are
// wanted again: a launch reads some for the first time and finishes those that the launch before it has
// read.
#ifndef POLYOPS_GPU_GROUP_NORM_STEPS_H_
#define POLYOPS_GPU_GROUP_NORM_STEPS_H_

#include "channel_norm/runs.h"

namespace polyops::gpu {
namespace {

// Tasks `first` on, each a block's.
struct Tasks {
  int64_t first, count;
};

struct Step {
  Tasks read, finish;

  int64_t blocks() const { return read.count + finish.count; }

  // Whether this block reads, and which task it has: by turns while there are both, and what was read
  // last is finished first.
  GPU_DEVICE bool reads(int64_t* task) const {
    const int64_t both = read.count < finish.count ? read.count : finish.count;
    const bool paired = block_id() < 2 * both;
    const int64_t place = paired ? block_id() / 2 : block_id() - both;
    const bool is_read = paired ? block_id() % 2 != 0 : place < read.count;
    *task = is_read ? read.first + place : finish.first + finish.count - 1 - place;
    return is_read;
  }
};

// Of what is read, for each multiprocessor, in a step: on an H200 a third of the second-level cache.
constexpr int64_t kStepBytes = 128 << 10;

// Calls f(step) for all rows, each of which is so many tasks of either kind, until it fails.
template <class F>
int for_each_step(int64_t rows, int64_t at_a_time, int64_t reads, int64_t finishes, F f) {
  Tasks finish = {};
  int status = POLYOPS_OK;
  for (int64_t row = 0; row - at_a_time < rows && status == POLYOPS_OK; row += at_a_time) {
    int64_t count = rows - row < at_a_time ? rows - row : at_a_time;
    if (count < 0) count = 0;
    status = f(Step{{row * reads, count * reads}, finish});
    finish = {row * finishes, count * finishes};
  }
  return status;
}

// Rows of a step, of so many bytes each.
inline int64_t rows_of_step(int64_t bytes, const polyops_context* ctx) {
  const int64_t rows = kStepBytes * multiprocessors(ctx) / bytes;
  return rows > 1 ? rows : 1;
}

}  // namespace
}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_GROUP_NORM_STEPS_H_
