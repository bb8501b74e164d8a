// The memory of tensors in a process that compares kernels: the same for both sides.
#pragma once
#include <cstddef>

namespace polyops::torch_binding {

// From now on and for the life of the process, CPU tensors that are freed are kept for the next of
// their size, the one at the lowest address first. A kernel's speed depends on where its result
// lies, and malloc's answer on what else is on the heap: patching alone changes it.
void recycle_tensor_memory();

// Tensors from now on start this many bytes into their page (a multiple of 64 below 4096).
void place_tensors(size_t offset);

// Gives what is kept back to the system.
void release_tensor_memory();

}  // namespace polyops::torch_binding
