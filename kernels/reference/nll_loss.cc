#include "reference/nll_loss.h"

#include "reference/elements.h"

namespace polyops::reference {
namespace {

double weight_of(const polyops_tensor& weight, int64_t target) {
  return polyops_is_present(&weight) != 0 ? load(weight, target) : 1;
}

int64_t target_of(const polyops_tensor& target, int64_t sample) {
  return static_cast<int64_t>(load(target, sample));
}

// Samples are rows, or the pixels of images of classes by pixels.
int64_t pixels_of(const polyops_tensor& src) { return src.rank == 3 ? src.sizes[2] : 1; }

int64_t place_of(const polyops_tensor& src, int64_t sample, int64_t target) {
  const int64_t pixels = pixels_of(src);
  return (sample / pixels * src.sizes[1] + target) * pixels + sample % pixels;
}

}  // namespace

void nll_loss(const polyops_nll_loss_args& args) {
  const bool each = args.reduction == POLYOPS_NLL_LOSS_NONE;
  long double sum = 0, total = 0;
  for (int64_t i = 0; i < args.src.sizes[0] * pixels_of(args.src); ++i) {
    const int64_t target = target_of(args.target, i);
    double loss = 0;
    if (target != args.ignore_index) {
      const double weight = weight_of(args.weight, target);
      loss = -weight * load(args.src, place_of(args.src, i, target));
      total += weight;
    }
    sum += loss;
    if (each) store(args.dst, i, loss);
  }
  store(args.total_weight, 0, each ? 0 : static_cast<double>(total));
  if (each) return;
  const bool mean = args.reduction == POLYOPS_NLL_LOSS_MEAN;
  store(args.dst, 0, static_cast<double>(mean ? sum / total : sum));
}

void nll_loss_backward(const polyops_nll_loss_backward_args& args) {
  const bool each = args.reduction == POLYOPS_NLL_LOSS_NONE;
  for (int64_t i = 0; i < polyops_numel(&args.grad_src); ++i) store(args.grad_src, i, 0);
  for (int64_t i = 0; i < args.grad_src.sizes[0] * pixels_of(args.grad_src); ++i) {
    const int64_t target = target_of(args.target, i);
    if (target == args.ignore_index) continue;
    double grad = load(args.grad_dst, each ? i : 0);
    if (args.reduction == POLYOPS_NLL_LOSS_MEAN) grad /= load(args.total_weight, 0);
    store(args.grad_src, place_of(args.grad_src, i, target),
          -weight_of(args.weight, target) * grad);
  }
}

}  // namespace polyops::reference
