#include "aten/labels.h"

namespace polyops::torch_binding {
namespace {

// Makes one dimension of those from there on; false if they do not follow each other in memory.
bool merge_pixels(polyops_tensor* view, int from) {
  int64_t size = 1, stride = 1;
  for (int d = view->rank - 1; d >= from; --d) {
    if (view->sizes[d] == 1) continue;
    if (size == 1) stride = view->strides[d];
    if (view->strides[d] != stride * size) return false;
    size *= view->sizes[d];
  }
  view->rank = from + 1;
  view->sizes[from] = size;
  view->strides[from] = stride;
  return true;
}

constexpr int64_t kRows = 2;  // dimensions of their scores

}  // namespace

const char* describe_scores(const at::Tensor& self, polyops_tensor* view) {
  if (const char* reason = describe(self, view)) return reason;
  return self.dim() == kRows || merge_pixels(view, 2) ? nullptr : "layout";
}

const char* describe_target(const at::Tensor& target, const at::Tensor& self,
                            polyops_tensor* view) {
  if (!target.defined()) return "undefined tensor";
  if (target.device() != self.device()) return "mixed devices";
  if (target.dim() != self.dim() - 1 || target.size(0) != self.size(0)) return "shape";
  const bool rows = self.dim() == kRows;
  if (!rows && target.sizes().slice(1) != self.sizes().slice(2)) return "shape";
  int32_t dtype = target.scalar_type() == at::kLong ? POLYOPS_INT64 : POLYOPS_INVALID_DTYPE;
  if (rows && target.scalar_type() == at::kByte) dtype = POLYOPS_UINT8;
  if (const char* reason = describe_as(target, dtype, view)) return reason;
  return rows || merge_pixels(view, 1) ? nullptr : "layout";
}

const char* describe_value(const at::Tensor& value, polyops_tensor* view) {
  if (const char* reason = describe(value, view)) return reason;
  return value.dim() < 2 || merge_pixels(view, 1) ? nullptr : "layout";
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
  if (self.dim() < kRows) return "shape";
  return reduction >= POLYOPS_NLL_LOSS_NONE && reduction <= POLYOPS_NLL_LOSS_SUM ? nullptr
                                                                                 : "reduction";
}

at::IntArrayRef loss_sizes(const at::Tensor& target, int64_t reduction) {
  return reduction == POLYOPS_NLL_LOSS_NONE ? target.sizes() : at::IntArrayRef();
}

void describe_loss(const at::Tensor& target, const at::Tensor& self, int64_t reduction,
                   polyops_tensor* view) {
  describe_contiguous(loss_sizes(target, reduction), self.scalar_type(), view);
  if (view->rank > 1) merge_pixels(view, 1);
}

void describe_gradient(const at::Tensor& self, polyops_tensor* view) {
  describe_contiguous(self.sizes(), self.scalar_type(), view);
  if (self.dim() > kRows) merge_pixels(view, 2);
}

}  // namespace polyops::torch_binding
