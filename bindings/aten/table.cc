#include "aten/table.h"

namespace polyops::torch_binding {

const std::vector<Overload>& overloads() {
  static const auto* all = [] {
    auto* table = new std::vector<Overload>;
    for (auto&& part : {gemm_overloads(),
                        softmax_overloads(),
                        layer_norm_overloads(),
                        rms_norm_overloads(),
                        group_norm_overloads(),
                        batch_norm_overloads(),
                        gelu_overloads(),
                        relu_overloads(),
                        activation_overloads(),
                        glu_overloads(),
                        attention_overloads(),
                        convolution_overloads(),
                        max_pool2d_overloads(),
                        max_pool3d_overloads(),
                        adaptive_max_pool2d_overloads(),
                        adaptive_max_pool3d_overloads(),
                        avg_pool2d_overloads(),
                        avg_pool3d_overloads(),
                        adaptive_avg_pool2d_overloads(),
                        adaptive_avg_pool3d_overloads(),
                        upsample_overloads(),
                        cat_overloads(),
                        copy_overloads(),
                        embedding_overloads(),
                        gather_overloads(),
                        index_add_overloads(),
                        index_put_overloads(),
                        index_select_overloads(),
                        scatter_add_overloads(),
                        reduction_overloads(),
                        extreme_overloads(),
                        any_overloads(),
                        linalg_vector_norm_overloads(),
                        var_overloads(),
                        cumsum_overloads(),
                        nll_loss_overloads(),
                        cross_entropy_overloads()}) {
      table->insert(table->end(), part.begin(), part.end());
    }
    return table;
  }();
  return *all;
}

}  // namespace polyops::torch_binding
