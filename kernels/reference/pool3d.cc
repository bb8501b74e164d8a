#include "reference/pool3d.h"

#include <algorithm>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// The taps of one window along one dimension.
struct Taps {
  int64_t begin, end;  // inside of the image
  int64_t counted;     // in a divisor
};

Taps taps_of(const polyops_pool3d_window& w, int dim, bool count_padding, int64_t window,
             int64_t n) {
  const int64_t start = window * w.stride[dim] - w.padding[dim];
  const int64_t end = std::min(start + w.size[dim], n + w.padding[dim]);
  const Taps inside = {std::max<int64_t>(start, 0), std::min(end, n), 0};
  return {inside.begin, inside.end, count_padding ? end - start : inside.end - inside.begin};
}

Taps adaptive_taps(int64_t windows, int64_t window, int64_t n) {
  const int64_t begin = window * n / windows, end = ((window + 1) * n + windows - 1) / windows;
  return {begin, end, end - begin};
}

// Calls visit(result, element) for every element of every window, and count(result, taps that
// count) before.
template <class TapsOf, class Count, class Visit>
void for_each_tap(const polyops_tensor& pooled, const polyops_tensor& result, TapsOf taps,
                  Count count, Visit visit) {
  const int64_t *in = pooled.sizes + 2, *out = result.sizes + 2;
  for (int64_t i = 0; i < polyops_numel(&result); ++i) {
    const int64_t image = i / (out[0] * out[1] * out[2]);
    const Taps deep = taps(0, i / (out[1] * out[2]) % out[0]);
    const Taps high = taps(1, i / out[2] % out[1]), wide = taps(2, i % out[2]);
    count(i, deep.counted * high.counted * wide.counted);
    for (int64_t z = deep.begin; z < deep.end; ++z) {
      for (int64_t h = high.begin; h < high.end; ++h) {
        for (int64_t w = wide.begin; w < wide.end; ++w) {
          visit(i, ((image * in[0] + z) * in[1] + h) * in[2] + w);
        }
      }
    }
  }
}

void store_all(const polyops_tensor& t, const std::vector<long double>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    store(t, static_cast<int64_t>(i), static_cast<double>(values[i]));
  }
}

// divisor: 0 for the number of taps that count.
template <class TapsOf>
void average(const polyops_tensor& src, const polyops_tensor& dst, int64_t divisor, TapsOf taps) {
  std::vector<long double> sums(polyops_numel(&dst), 0), divisors(sums.size());
  for_each_tap(
      src, dst, taps,
      [&](int64_t result, int64_t counted) { divisors[result] = divisor != 0 ? divisor : counted; },
      [&](int64_t result, int64_t element) { sums[result] += load(src, element); });
  for (size_t i = 0; i < sums.size(); ++i) sums[i] /= divisors[i];
  store_all(dst, sums);
}

template <class TapsOf>
void average_backward(const polyops_tensor& grad_src, const polyops_tensor& grad_dst,
                      int64_t divisor, TapsOf taps) {
  std::vector<long double> sums(polyops_numel(&grad_src), 0);
  long double share = 0;
  for_each_tap(
      grad_src, grad_dst, taps,
      [&](int64_t result, int64_t counted) {
        share = static_cast<long double>(load(grad_dst, result)) /
                static_cast<long double>(divisor != 0 ? divisor : counted);
      },
      [&](int64_t, int64_t element) { sums[element] += share; });
  store_all(grad_src, sums);
}

}  // namespace

void avg_pool3d(const polyops_avg_pool3d_args& a) {
  average(a.src, a.dst, a.divisor, [&](int dim, int64_t window) {
    return taps_of(a.window, dim, a.count_padding != 0, window, a.src.sizes[2 + dim]);
  });
}

void avg_pool3d_backward(const polyops_avg_pool3d_backward_args& a) {
  average_backward(a.grad_src, a.grad_dst, a.divisor, [&](int dim, int64_t window) {
    return taps_of(a.window, dim, a.count_padding != 0, window, a.grad_src.sizes[2 + dim]);
  });
}

void adaptive_avg_pool3d(const polyops_adaptive_avg_pool3d_args& a) {
  average(a.src, a.dst, 0, [&](int dim, int64_t window) {
    return adaptive_taps(a.dst.sizes[2 + dim], window, a.src.sizes[2 + dim]);
  });
}

void adaptive_avg_pool3d_backward(const polyops_adaptive_avg_pool3d_backward_args& a) {
  average_backward(a.grad_src, a.grad_dst, 0, [&](int dim, int64_t window) {
    return adaptive_taps(a.grad_dst.sizes[2 + dim], window, a.grad_src.sizes[2 + dim]);
  });
}

}  // namespace polyops::reference
