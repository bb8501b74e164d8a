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

// Samples are rows, or the pixels of images of classes by pixels.
int64_t pixels_of(const polyops_tensor& src) { return src.rank == 3 ? src.sizes[2] : 1; }

int64_t place_of(const polyops_tensor& src, int64_t sample, int64_t c) {
  const int64_t pixels = pixels_of(src);
  return (sample / pixels * src.sizes[1] + c) * pixels + sample % pixels;
}

// Of a sample, whether it is ignored or not.
struct Row {
  double max = -HUGE_VAL;
  double log_sum = 0;
  double weights = 0;  // of all classes
  double spread = 0;   // sum of weight (lse - x)
};

Row gather(const polyops_tensor& src, const polyops_tensor& weight, int64_t sample) {
  const int64_t classes = src.sizes[1];
  const auto at = [&](int64_t c) { return load(src, place_of(src, sample, c)); };
  Row row;
  long double sum = 0, weights = 0, spread = 0;
  for (int64_t c = 0; c < classes; ++c) row.max = std::fmax(row.max, at(c));
  for (int64_t c = 0; c < classes; ++c) sum += std::exp(at(c) - row.max);
  row.log_sum = static_cast<double>(std::log(sum));
  for (int64_t c = 0; c < classes; ++c) {
    const double w = weight_of(weight, c);
    spread += w * ((row.max - at(c)) + row.log_sum);
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
  for (int64_t i = 0; i < args.src.sizes[0] * pixels_of(args.src); ++i) {
    const Row row = gather(args.src, args.weight, i);
    const int64_t target = target_of(args.target, i);
    double loss = 0, factor = 0;
    if (target != args.ignore_index) {
      const double w = weight_of(args.weight, target);
      const double x = load(args.src, place_of(args.src, i, target));
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
  for (int64_t i = 0; i < args.src.sizes[0] * pixels_of(args.src); ++i) {
    const int64_t target = target_of(args.target, i);
    const Row row = gather(args.src, args.weight, i);
    const double max = row.max, log_sum = row.log_sum;
    const double w = target == args.ignore_index ? 0 : weight_of(args.weight, target);
    const double factor = (1 - e) * w + (e == 0 ? 0 : spread * row.weights);
    double grad = load(args.grad_dst, each ? i : 0);
    if (args.reduction == POLYOPS_NLL_LOSS_MEAN) grad /= load(args.total_weight, 0);
    for (int64_t c = 0; c < classes; ++c) {
      const int64_t at = place_of(args.src, i, c);
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
