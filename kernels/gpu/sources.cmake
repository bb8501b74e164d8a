# The sources that every family of GPUs compiles: one per op, as POLYOPS_GPU_OPS in table.h.
set(gpu_sources)
foreach(op IN ITEMS
    softmax log_softmax layer_norm rms_norm gelu relu convolution cat nll_loss upsample_nearest2d
    upsample_bilinear2d upsample_bicubic2d max_pool2d avg_pool2d adaptive_avg_pool2d avg_pool3d
    adaptive_avg_pool3d adaptive_max_pool max_pool3d group_norm batch_norm)
    softmax log_softmax layer_norm rms_norm gelu relu convolution cat copy nll_loss upsample_nearest2d
    upsample_bilinear2d upsample_bicubic2d max_pool2d avg_pool2d adaptive_avg_pool2d group_norm
    batch_norm elu glu log_sigmoid mish softplus)
    batch_norm sum amax cumsum)
    batch_norm embedding index_select)
    batch_norm cross_entropy)
  list(APPEND gpu_sources ${CMAKE_CURRENT_LIST_DIR}/${op}/${op}.cu)
endforeach()
