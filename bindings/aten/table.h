// The overload tables, one function per op file.
#ifndef POLYOPS_BINDINGS_ATEN_TABLE_H_
#define POLYOPS_BINDINGS_ATEN_TABLE_H_

#include <vector>

#include "torch/patch.h"

namespace polyops::torch_binding {

std::vector<Overload> activation_overloads();
std::vector<Overload> adaptive_avg_pool2d_overloads();
std::vector<Overload> adaptive_avg_pool3d_overloads();
std::vector<Overload> adaptive_max_pool2d_overloads();
std::vector<Overload> adaptive_max_pool3d_overloads();
std::vector<Overload> any_overloads();
std::vector<Overload> attention_overloads();
std::vector<Overload> avg_pool2d_overloads();
std::vector<Overload> avg_pool3d_overloads();
std::vector<Overload> batch_norm_overloads();
std::vector<Overload> cat_overloads();
std::vector<Overload> convolution_overloads();
std::vector<Overload> copy_overloads();
std::vector<Overload> cross_entropy_overloads();
std::vector<Overload> cumsum_overloads();
std::vector<Overload> embedding_overloads();
std::vector<Overload> extreme_overloads();
std::vector<Overload> gather_overloads();
std::vector<Overload> gelu_overloads();
std::vector<Overload> gemm_overloads();
std::vector<Overload> glu_overloads();
std::vector<Overload> group_norm_overloads();
std::vector<Overload> index_add_overloads();
std::vector<Overload> index_put_overloads();
std::vector<Overload> index_select_overloads();
std::vector<Overload> layer_norm_overloads();
std::vector<Overload> linalg_vector_norm_overloads();
std::vector<Overload> max_pool2d_overloads();
std::vector<Overload> max_pool3d_overloads();
std::vector<Overload> nll_loss_overloads();
std::vector<Overload> reduction_overloads();
std::vector<Overload> relu_overloads();
std::vector<Overload> rms_norm_overloads();
std::vector<Overload> scatter_add_overloads();
std::vector<Overload> softmax_overloads();
std::vector<Overload> upsample_overloads();
std::vector<Overload> var_overloads();

}  // namespace polyops::torch_binding

#endif  // POLYOPS_BINDINGS_ATEN_TABLE_H_
