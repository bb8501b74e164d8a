#include "reference/cross_entropy.h"

#include <cmath>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

double weight_of(const polyops_tensor& weight, int64_t target) {
  return polyops_is_present(&weight) != 0 ? load(weight, target) : 1;
}

int64_t target_of(const polyops_tensor& target, int64_t sample) {
  return static_cast<int64_t>(load(target, sample));
}

// Of a sample, whether it is ignored or not.
struct Row {
  double max = -HUGE_VAL;
  double log_sum = 0;
  double weights = 0;  // of all classes
  double spread = 0;   // sum of weight (lse - x)
};

Row gather(const polyops_tensor& src, const polyops_tensor& weight, int64_t sample) {
  const int64_t classes = src.sizes[1], first = sample * classes;
  Row row;
  long double sum = 0, weights = 0, spread = 0;
  for (int64_t c = 0; c < classes; ++c) row.max = std::fmax(row.max, load(src, first + c));
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(load(src, first + c) - row.max);
  row.log_sum = static_cast<double>(std::log(sum));
  for (int64_t c = 0; c < classes; ++c) {
    const double w = weight_of(weight, c);
    spread += w * ((row.max - load(src, first + c)) + row.log_sum);
    weights += w;
  }
  row.weights = static_cast<double>(weights);
  row.spread = static_cast<double>(spread);
  return row;
}

}  // namespace

void cross_entropy(const polyops_cross_entropy_args& args) {
  const bool each = args.reduction == POLYOPS_NLL_LOSS_NONE;
  const double e = args.label_smoothing, classes = static_cast<double>(args.src.sizes[1]);
  long double sum = 0, total = 0;
  for (int64_t i = 0; i < args.src.sizes[0]; ++i) {
    const Row row = gather(args.src, args.weight, i);
    const int64_t target = target_of(args.target, i);
    double loss = 0, factor = 0;
    if (target != args.ignore_index) {
      const double w = weight_of(args.weight, target);
      const double x = load(args.src, i * args.src.sizes[1] + target);
      loss = (1 - e) * w * ((row.max - x) + row.log_sum);
      factor = (1 - e) * w;
      if (e != 0) {
        loss += e / classes * row.spread;
        factor += e / classes * row.weights;
      }
      total += w;
    }
    sum += loss;
    if (each) store(args.dst, i, loss);
    if (polyops_is_present(&args.stats) == 0) continue;
    store(args.stats, i * POLYOPS_CROSS_ENTROPY_STATS, row.max);
    store(args.stats, i * POLYOPS_CROSS_ENTROPY_STATS + 1, row.log_sum);
    store(args.stats, i * POLYOPS_CROSS_ENTROPY_STATS + 2, factor);
  }
  if (each) return;
  const bool mean = args.reduction == POLYOPS_NLL_LOSS_MEAN;
  store(args.dst, 0, static_cast<double>(mean ? sum / total : sum));
  if (mean && polyops_is_present(&args.total_weight) != 0) {
    store(args.total_weight, 0, static_cast<double>(total));
  }
}

void cross_entropy_backward(const polyops_cross_entropy_backward_args& args) {
  const int64_t classes = args.src.sizes[1];
  const bool each = args.reduction == POLYOPS_NLL_LOSS_NONE;
  const double e = args.label_smoothing, spread = e / static_cast<double>(classes);
  for (int64_t i = 0; i < args.src.sizes[0]; ++i) {
    const int64_t target = target_of(args.target, i);
    const double max = load(args.stats, i * POLYOPS_CROSS_ENTROPY_STATS);
    const double log_sum = load(args.stats, i * POLYOPS_CROSS_ENTROPY_STATS + 1);
    const double factor = load(args.stats, i * POLYOPS_CROSS_ENTROPY_STATS + 2);
    double grad = load(args.grad_dst, each ? i : 0);
    if (args.reduction == POLYOPS_NLL_LOSS_MEAN) grad /= load(args.total_weight, 0);
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t at = i * classes + c;
      double result = (max + log_sum) * 0;
      if (target != args.ignore_index) {
        const double exp = std::exp((load(args.src, at) - max) - log_sum);
        result = grad * factor * exp;
        if (e != 0) result -= grad * spread * weight_of(args.weight, c);
        if (c == target) result -= grad * (1 - e) * weight_of(args.weight, c);
      }
      store(args.grad_src, at, result);
    }
  }
}

}  // namespace polyops::reference
