# The sources that every family of GPUs compiles: one per op, as POLYOPS_GPU_OPS in table.h.
set(gpu_sources)
foreach(op IN ITEMS softmax log_softmax layer_norm group_norm batch_norm gelu relu)
  list(APPEND gpu_sources ${CMAKE_CURRENT_LIST_DIR}/${op}/${op}.cu)
endforeach()
