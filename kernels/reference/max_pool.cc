#include "reference/max_pool.h"

#include <cmath>
#include <functional>
#include <limits>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

using Taps = std::vector<int64_t>;
// The elements of a window along a dimension, from 2 on.
using TapsOf = std::function<Taps(int dim, int64_t window)>;

// Calls visit(window's number in its image, the elements of it as places in theirs, in their
// order).
void for_each_window(const polyops_tensor& src, const polyops_tensor& dst, const TapsOf& taps,
                     const std::function<void(int64_t, const Taps&)>& visit) {
  int64_t windows = 1;
  for (int d = 2; d < dst.rank; ++d) windows *= dst.sizes[d];
  for (int64_t window = 0; window < windows; ++window) {
    Taps places = {0};
    int64_t inner = windows, rest = window;
    for (int d = 2; d < dst.rank; ++d) {
      inner /= dst.sizes[d];
      Taps next;
      for (const int64_t place : places) {
        for (const int64_t at : taps(d, rest / inner)) next.push_back(place * src.sizes[d] + at);
      }
      places = next;
      rest %= inner;
    }
    visit(window, places);
  }
}

int64_t pixels(const polyops_tensor& t) {
  int64_t n = 1;
  for (int d = 2; d < t.rank; ++d) n *= t.sizes[d];
  return n;
}

void forward(const polyops_tensor& src, const polyops_tensor& dst, const polyops_tensor& indices,
             const TapsOf& taps) {
  const int64_t images = dst.sizes[0] * dst.sizes[1];
  for_each_window(src, dst, taps, [&](int64_t window, const Taps& places) {
    for (int64_t image = 0; image < images; ++image) {
      double best = -std::numeric_limits<double>::infinity();
      int64_t index = places[0];
      for (const int64_t place : places) {
        const double x = load(src, image * pixels(src) + place);
        if (!(x > best) && !std::isnan(x)) continue;
        best = x;
        index = place;
      }
      store(dst, image * pixels(dst) + window, best);
      store(indices, image * pixels(dst) + window, static_cast<double>(index));
    }
  });
}

void backward(const polyops_tensor& grad_src, const polyops_tensor& grad_dst,
              const polyops_tensor& indices, const TapsOf& reach) {
  const int64_t images = grad_dst.sizes[0] * grad_dst.sizes[1];
  std::vector<long double> sums(images * pixels(grad_src), 0);
  for_each_window(grad_src, grad_dst, reach, [&](int64_t window, const Taps& places) {
    for (int64_t image = 0; image < images; ++image) {
      const int64_t result = image * pixels(grad_dst) + window;
      for (const int64_t place : places) {
        if (static_cast<double>(place) != load(indices, result)) continue;
        sums[image * pixels(grad_src) + place] += load(grad_dst, result);
      }
    }
  });
  for (size_t i = 0; i < sums.size(); ++i) {
    store(grad_src, static_cast<int64_t>(i), static_cast<double>(sums[i]));
  }
}

TapsOf shares(const polyops_tensor& src, const polyops_tensor& dst) {
  return [&](int d, int64_t window) {
    const int64_t n = src.sizes[d], m = dst.sizes[d];
    Taps taps;
    for (int64_t at = window * n / m; at < ((window + 1) * n + m - 1) / m; ++at) taps.push_back(at);
    return taps;
  };
}

// step: between those that count; the dilation, or 1.
Taps taps_of(const polyops_pool3d_window& w, int dim, int64_t window, int64_t n, int64_t step) {
  const int64_t start = window * w.stride[dim] - w.padding[dim];
  const int64_t reach = (w.size[dim] - 1) * w.dilation[dim] + 1;
  Taps taps;
  for (int64_t at = start; at < start + reach && at < n; at += step) {
    if (at >= 0) taps.push_back(at);
  }
  return taps;
}

}  // namespace

void adaptive_max_pool(const polyops_adaptive_max_pool_args& args) {
  forward(args.src, args.dst, args.indices, shares(args.src, args.dst));
}

void adaptive_max_pool_backward(const polyops_adaptive_max_pool_backward_args& args) {
  backward(args.grad_src, args.grad_dst, args.indices, shares(args.grad_src, args.grad_dst));
}

void max_pool3d(const polyops_max_pool3d_args& args) {
  forward(args.src, args.dst, args.indices, [&](int d, int64_t window) {
    return taps_of(args.window, d - 2, window, args.src.sizes[d], args.window.dilation[d - 2]);
  });
}

void max_pool3d_backward(const polyops_max_pool3d_backward_args& args) {
  backward(args.grad_src, args.grad_dst, args.indices, [&](int d, int64_t window) {
    return taps_of(args.window, d - 2, window, args.grad_src.sizes[d], 1);
  });
}

}  // namespace polyops::reference
