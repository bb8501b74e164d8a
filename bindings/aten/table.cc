#include "aten/table.h"

namespace polyops::torch_binding {

const std::vector<Overload>& overloads() {
  static const auto* all = [] {
    auto* table = new std::vector<Overload>;
    for (auto&& part :
         {gemm_overloads(), softmax_overloads(), layer_norm_overloads(), gelu_overloads(),
          relu_overloads(), rms_norm_overloads(), attention_overloads(), convolution_overloads(),
          cat_overloads(), nll_loss_overloads(), upsample_overloads(), max_pool2d_overloads(),
          avg_pool2d_overloads(), adaptive_avg_pool2d_overloads(), group_norm_overloads(),
          batch_norm_overloads()}) {
    }
    ();
    return *all;
  }

}  // namespace polyops::torch_binding
