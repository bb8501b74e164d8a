#include "aten/labels.h"

namespace polyops::torch_binding {

const char* describe_target(const at::Tensor& target, const at::Tensor& self,
                            polyops_tensor* view) {
  if (!target.defined()) return "undefined tensor";
  if (target.device() != self.device()) return "mixed devices";
  if (target.dim() != 1 || target.size(0) != self.size(0)) return "shape";
  if (target.scalar_type() == at::kLong) return describe_as(target, POLYOPS_INT64, view);
  return describe_as(target, target.scalar_type() == at::kByte ? POLYOPS_UINT8 : 0, view);
}

const char* describe_weight(const at::Tensor* weight, const at::Tensor& self,
                            polyops_tensor* view) {
  *view = absent();
  if (weight == nullptr) return nullptr;
  if (!same_kind(*weight, self)) return "mixed dtypes or devices";
  if (weight->dim() != 1 || weight->size(0) != self.size(1)) return "shape";
  return describe(*weight, view);
}

const char* check_scores(const at::Tensor& self, int64_t reduction) {
  if (!self.defined()) return "undefined tensor";
  // Of a sample without a batch stock takes the mean, and all ignored, for something else.
  if (self.dim() == 1) return "no batch";
  if (self.dim() != 2) return "shape";
  return reduction >= POLYOPS_NLL_LOSS_NONE && reduction <= POLYOPS_NLL_LOSS_SUM ? nullptr
                                                                                 : "reduction";
}

at::IntArrayRef loss_sizes(const at::Tensor& self, int64_t reduction) {
  return reduction == POLYOPS_NLL_LOSS_NONE ? self.sizes().slice(0, 1) : at::IntArrayRef();
}

}  // namespace polyops::torch_binding
