# The sources that every family of GPUs compiles: one per op, as POLYOPS_GPU_OPS in table.h.
set(gpu_sources)
foreach(op IN ITEMS
    softmax log_softmax layer_norm rms_norm group_norm batch_norm gelu relu elu glu log_sigmoid
    mish softplus convolution cat copy cross_entropy cross_entropy_pixels nll_loss embedding gather
    index_add index_select sum amax any argmax
    linalg_vector_norm logsumexp var cumsum
    upsample_nearest2d upsample_bilinear2d upsample_bicubic2d max_pool2d max_pool3d
    adaptive_max_pool avg_pool2d avg_pool3d adaptive_avg_pool2d adaptive_avg_pool3d)
  list(APPEND gpu_sources ${CMAKE_CURRENT_LIST_DIR}/${op}/${op}.cu)
endforeach()
