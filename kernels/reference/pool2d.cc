#include "reference/pool2d.h"

#include <cmath>
#include <limits>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

// The taps of one window along one dimension.
struct Taps {
  std::vector<int64_t> inside;  // of the image
  int64_t first;                // that is not before the image
  int64_t padded;               // how many, those in the padding included
};

Taps taps_of(const polyops_pool2d_window& w, int dim, int64_t window, int64_t n) {
  Taps taps = {{}, -1, 0};
  for (int64_t k = 0;; ++k) {
    const int64_t at = window * w.stride[dim] - w.padding[dim] + k * w.dilation[dim];
    if (at >= 0 && taps.first < 0) taps.first = at;
    if (k >= w.size[dim]) {
      if (taps.first >= 0) break;
      continue;  // all of them are before it
    }
    if (at < n + w.padding[dim]) ++taps.padded;
    if (at >= 0 && at < n) taps.inside.push_back(at);
  }
  return taps;
}

Taps adaptive_taps(int64_t windows, int64_t window, int64_t n) {
  Taps taps = {};
  const int64_t end = ((window + 1) * n + windows - 1) / windows;
  for (int64_t at = window * n / windows; at < end; ++at) taps.inside.push_back(at);
  return taps;
}

// Calls visit(result's number, number of its plane's first element, taps of height and of width).
template <class TapsOf, class Visit>
void for_each_window(const polyops_tensor& src, const polyops_tensor& dst, TapsOf taps,
                     Visit visit) {
  const int64_t high = dst.sizes[2], wide = dst.sizes[3];
  for (int64_t plane = 0; plane < dst.sizes[0] * dst.sizes[1]; ++plane) {
    const int64_t first = plane * src.sizes[2] * src.sizes[3];
    for (int64_t h = 0; h < high; ++h) {
      for (int64_t w = 0; w < wide; ++w) {
        visit((plane * high + h) * wide + w, first, taps(0, h), taps(1, w));
      }
    }
  }
}

template <class Divisor>
auto average(const polyops_tensor& src, const polyops_tensor& dst, Divisor divisor) {
  return
      [&src, &dst, divisor](int64_t result, int64_t plane, const Taps& rows, const Taps& columns) {
        long double sum = 0;
        for (int64_t h : rows.inside) {
          for (int64_t w : columns.inside) sum += load(src, plane + h * src.sizes[3] + w);
        }
        store(dst, result, static_cast<double>(sum / divisor(rows, columns)));
      };
}

template <class Divisor>
auto average_gradient(const polyops_tensor& grad_dst, std::vector<long double>& sums, int64_t width,
                      Divisor divisor) {
  return [&grad_dst, &sums, width, divisor](int64_t result, int64_t plane, const Taps& rows,
                                            const Taps& columns) {
    const long double share = load(grad_dst, result) / divisor(rows, columns);
    for (int64_t h : rows.inside) {
      for (int64_t w : columns.inside) sums[plane + h * width + w] += share;
    }
  };
}

long double taps_inside(const Taps& rows, const Taps& columns) {
  return static_cast<long double>(rows.inside.size() * columns.inside.size());
}

template <class Args>
auto divisor_of(const Args& args) {
  return [&args](const Taps& rows, const Taps& columns) -> long double {
    if (args.divisor != 0) return args.divisor;
    if (args.count_padding != 0) return rows.padded * columns.padded;
    return taps_inside(rows, columns);
  };
}

void store_all(const polyops_tensor& t, const std::vector<long double>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    store(t, static_cast<int64_t>(i), static_cast<double>(values[i]));
  }
}

}  // namespace

void max_pool2d(const polyops_max_pool2d_args& args) {
  const int64_t width = args.src.sizes[3];
  const auto taps = [&](int dim, int64_t window) {
    return taps_of(args.window, dim, window, args.src.sizes[2 + dim]);
  };
  for_each_window(args.src, args.dst, taps,
                  [&](int64_t result, int64_t plane, const Taps& rows, const Taps& columns) {
                    double best = -std::numeric_limits<double>::infinity();
                    int64_t index = args.lowest_is_0 ? 0 : rows.first * width + columns.first;
                    for (int64_t h : rows.inside) {
                      for (int64_t w : columns.inside) {
                        const double x = load(args.src, plane + h * width + w);
                        if (!(x > best) && !std::isnan(x)) continue;
                        best = x;
                        index = h * width + w;
                      }
                    }
                    store(args.dst, result, best);
                    store(args.indices, result, static_cast<double>(index));
                  });
}

void max_pool2d_backward(const polyops_max_pool2d_backward_args& args) {
  const int64_t high = args.grad_src.sizes[2], wide = args.grad_src.sizes[3];
  std::vector<long double> sums(polyops_numel(&args.grad_src), 0);
  const auto reaches = [&](int dim, int64_t window, int64_t element) {
    const polyops_pool2d_window& w = args.window;
    const int64_t first = window * w.stride[dim] - w.padding[dim];
    return element >= first && element <= first + (w.size[dim] - 1) * w.dilation[dim];
  };
  const int64_t results = args.grad_dst.sizes[2] * args.grad_dst.sizes[3];
  for (int64_t i = 0; i < polyops_numel(&args.grad_dst); ++i) {
    const auto index = static_cast<int64_t>(load(args.indices, i));
    if (index < 0 || index >= high * wide) continue;
    const int64_t row = i % results / args.grad_dst.sizes[3], column = i % args.grad_dst.sizes[3];
    if (!reaches(0, row, index / wide) || !reaches(1, column, index % wide)) continue;
    sums[i / results * high * wide + index] += load(args.grad_dst, i);
  }
  store_all(args.grad_src, sums);
}

void avg_pool2d(const polyops_avg_pool2d_args& args) {
  const auto taps = [&](int dim, int64_t window) {
    return taps_of(args.window, dim, window, args.src.sizes[2 + dim]);
  };
  for_each_window(args.src, args.dst, taps, average(args.src, args.dst, divisor_of(args)));
}

void avg_pool2d_backward(const polyops_avg_pool2d_backward_args& args) {
  std::vector<long double> sums(polyops_numel(&args.grad_src), 0);
  const auto taps = [&](int dim, int64_t window) {
    return taps_of(args.window, dim, window, args.grad_src.sizes[2 + dim]);
  };
  for_each_window(args.grad_src, args.grad_dst, taps,
                  average_gradient(args.grad_dst, sums, args.grad_src.sizes[3], divisor_of(args)));
  store_all(args.grad_src, sums);
}

void adaptive_avg_pool2d(const polyops_adaptive_avg_pool2d_args& args) {
  const auto taps = [&](int dim, int64_t window) {
    return adaptive_taps(args.dst.sizes[2 + dim], window, args.src.sizes[2 + dim]);
  };
  for_each_window(args.src, args.dst, taps, average(args.src, args.dst, taps_inside));
}

void adaptive_avg_pool2d_backward(const polyops_adaptive_avg_pool2d_backward_args& args) {
  std::vector<long double> sums(polyops_numel(&args.grad_src), 0);
  const auto taps = [&](int dim, int64_t window) {
    return adaptive_taps(args.grad_dst.sizes[2 + dim], window, args.grad_src.sizes[2 + dim]);
  };
  for_each_window(args.grad_src, args.grad_dst, taps,
                  average_gradient(args.grad_dst, sums, args.grad_src.sizes[3], taps_inside));
  store_all(args.grad_src, sums);
}

}  // namespace polyops::reference
