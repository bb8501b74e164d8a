// copy's kernels for other ops: cat of inputs that lie otherwise than their result, or whose rows
// begin anywhere; norms of rows that are no run of memory.
#ifndef POLYOPS_GPU_COPY_LAUNCH_H_
#define POLYOPS_GPU_COPY_LAUNCH_H_

#include "polyops/ops/copy.h"

namespace polyops::gpu {

bool copy_takes(const polyops_copy_args& a);

// Whether copy takes it, and by another way than by rows.
bool copy_turns(const polyops_copy_args& a);

// Whether copy takes it by long rows that do not all begin at 16 aligned bytes.
bool copy_shifts_rows(const polyops_copy_args& a);

int launch_copy(const polyops_copy_args& a, const polyops_context* ctx);

// Copies of one dtype that copy_shifts_rows(), several to a launch if they have equally many rows.
int launch_shifted_rows(const polyops_copy_args* copies, int count, const polyops_context* ctx);

}  // namespace polyops::gpu

#endif  // POLYOPS_GPU_COPY_LAUNCH_H_
