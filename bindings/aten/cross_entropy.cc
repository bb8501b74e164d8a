// aten::cross_entropy_loss of labels, one for each row of a batch or pixel of its images: a
// composite, taken as a whole, so that the scores are read once and log-probabilities are never
// written.
#include "polyops/ops/cross_entropy.h"

#include <ATen/autocast_mode.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/cross_entropy_loss_compositeimplicitautograd_dispatch.h>
#include <c10/core/GradMode.h>

#include "aten/cross_entropy_gradient.h"
#include "aten/labels.h"
#include "aten/order.h"
#include "aten/table.h"
#include "torch/allocate.h"
#include "torch/composite.h"
#include "torch/view.h"

namespace polyops::torch_binding {
namespace {

bool has_tangent(const at::Tensor& tensor) { return tensor._fw_grad(/*level=*/0).defined(); }

bool needs_gradient(const Site& site, const at::Tensor& tensor) {
  return site.differentiable && at::GradMode::is_enabled() && tensor.requires_grad();
}

// Whatever is or may be differentiated otherwise than backward by the scores.
const char* check_gradients(const Site& site, const at::Tensor& self, const at::Tensor* weight) {
  if (!site.differentiable) return nullptr;
  if (has_tangent(self) || (weight != nullptr && has_tangent(*weight))) return "forward mode";
  // Which is stock's error.
  return weight != nullptr && needs_gradient(site, *weight) ? "weight requires grad" : nullptr;
}

// Autocast of a GPU does not know the composite but its parts, the last of which makes the loss
// float32; that of a CPU has cast the scores before we see them.
bool is_cast_by_autocast(const at::Tensor& self) {
  return (self.scalar_type() == at::kHalf || self.scalar_type() == at::kBFloat16) &&
         at::autocast::is_autocast_enabled(self.device().type());
}

// One dimension of the first and the third one; false if they do not follow each other in memory.
bool is_one_run(const polyops_tensor& t, int first, int last) {
  return t.sizes[first] == 1 || t.strides[first] == t.sizes[last] * t.strides[last];
}

void flatten(polyops_tensor* view, int last) {
  view->sizes[0] *= view->sizes[last];
  view->strides[0] = view->strides[last];
  --view->rank;
}

// Pixels whose classes are next to each other (channels_last) are rows.
void take_as_rows(polyops_cross_entropy_args* args) {
  polyops_tensor& src = args->src;
  if (src.rank != 3 || src.sizes[1] == 1 || src.strides[1] != 1) return;
  if (!is_one_run(src, 0, 2) || !is_one_run(args->target, 0, 1)) return;
  flatten(&src, 2);
  flatten(&args->target, 1);
  if (args->dst.rank == 2) flatten(&args->dst, 1);
}

const char* prepare(const Site& site, const at::Tensor& self, const CrossEntropyCall& given,
                    polyops_cross_entropy_args* args) {
  const at::Tensor* weight = given.weight.defined() ? &given.weight : nullptr;
  const char* reason = check_scores(self, given.reduction);
  if (!reason && self.dim() != 2 && given.reduction != POLYOPS_NLL_LOSS_NONE) {
    reason = check_order(self);  // of nll_loss2d
  }
  // Stock's losses of pixels then are a view of those of images.
  const bool each = given.reduction == POLYOPS_NLL_LOSS_NONE && given.label_smoothing == 0;
  if (!reason && each && self.dim() != 2 && self.dim() != 4) reason = "view";
  if (!reason) reason = check_gradients(site, self, weight);
  if (!reason) reason = describe_scores(self, &args->src);
  if (!reason) reason = describe_target(given.target, self, &args->target);
  if (!reason) reason = describe_weight(weight, self, &args->weight);
  if (reason) return reason;
  args->struct_size = sizeof *args;
  args->reduction = static_cast<int32_t>(given.reduction);
  args->ignore_index = given.ignore_index;
  args->label_smoothing = given.label_smoothing;
  describe_loss(given.target, self, given.reduction, &args->dst);
  args->stats = args->total_weight = absent();
  take_as_rows(args);
  return nullptr;
}

std::optional<at::Tensor> loss(Call& call, const Site& site, const at::Tensor& self,
                               const at::Tensor& target, const OptionalTensor& weight,
                               int64_t reduction, c10::SymInt ignore_index,
                               double label_smoothing) {
  const std::optional<int64_t> ignored = ignore_index.maybe_as_int();
  if (!ignored) {
    call.decline("symbolic");
    return std::nullopt;
  }
  if (is_cast_by_autocast(self)) {
    const auto wide = [&](const at::Tensor& tensor) {
      return at::autocast::cached_cast(at::kFloat, tensor, self.device().type());
    };
    const OptionalTensor wide_weight =
        present(weight) ? OptionalTensor(wide(*weight)) : OptionalTensor();
    return at::cross_entropy_loss(wide(self), target, wide_weight, reduction, *ignored,
                                  label_smoothing);
  }
  CrossEntropyCall one = {&site.slot, target,   present(weight) ? *weight : at::Tensor(),
                          reduction,  *ignored, label_smoothing,
                          {},         {},       {}};
  polyops_cross_entropy_args args;
  if (const char* reason = prepare(site, self, one, &args)) {
    call.decline(reason);
    return std::nullopt;
  }
  if (!call.choose(&args)) return std::nullopt;
  const bool kept = needs_gradient(site, self);
  if (kept && !takes_backward(call, self, one)) {
    call.decline("backward");
    return std::nullopt;
  }
  one.loss = allocate(self, loss_sizes(target, reduction), self.scalar_type());
  if (kept && keeps_stats(self)) {
    const int64_t sizes[] = {self.size(0), POLYOPS_CROSS_ENTROPY_STATS};
    one.stats = allocate(self, sizes, at::kFloat);
    describe(one.stats, &args.stats);
    set_output(&args.stats, one.stats);
  }
  if (kept && reduction == POLYOPS_NLL_LOSS_MEAN) {
    one.total_weight = allocate(self, {}, at::kFloat);
    describe(one.total_weight, &args.total_weight);
    set_output(&args.total_weight, one.total_weight);
  }
  set_input(&args.src, self);
  set_input(&args.target, target);
  if (one.weight.defined()) set_input(&args.weight, one.weight);
  set_output(&args.dst, one.loss);
  if (!call.launch(&args, self)) return std::nullopt;
  return kept ? record(self, one) : one.loss;
}

}  // namespace

std::vector<Overload> cross_entropy_overloads() {
  return {{"cross_entropy_loss", "cross_entropy", "cross_entropy",
           wrap_composite(loss, at::compositeimplicitautograd::cross_entropy_loss_symint), nullptr,
           "RegisterCompositeImplicitAutograd", /*composite=*/true}};
}

}  // namespace polyops::torch_binding
