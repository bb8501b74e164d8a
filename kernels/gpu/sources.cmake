# The sources that every family of GPUs compiles: one per op, as POLYOPS_GPU_OPS in table.h.
set(gpu_sources)
foreach(op IN ITEMS softmax log_softmax layer_norm gelu relu max_pool2d avg_pool2d adaptive_avg_pool2d)
  list(APPEND gpu_sources ${CMAKE_CURRENT_LIST_DIR}/${op}/${op}.cu)
endforeach()
