// The memory of large CPU tensors: blocks that are kept for the next tensor (block_cache.h).
#pragma once
#include "block_cache.h"

namespace polyops::torch_binding {

// From now on large tensors come from blocks that are kept, unless the limit is 0 or CPU
// memory is in the hands of an allocator that is not torch's own. Not while another thread is
// inside torch; nor stop_keeping(), which returns what is kept and leaves new tensors to torch's
// allocator.
void start_keeping();
void stop_keeping();
bool is_keeping();

// At most so many bytes of freed tensors are kept; 0: none, and torch's allocator serves all. Safe
// at any time.
void set_kept_limit(size_t bytes);

// Returns what is kept to the system. Safe at any time.
void release_kept();

BlockCacheStats memory_stats();

}  // namespace polyops::torch_binding
