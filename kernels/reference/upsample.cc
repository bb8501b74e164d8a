// Positions in float32, as the definition has them; weights and sums in double.
#include "reference/upsample.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

struct Tap {
  int64_t place;
  double weight;
};
// What each result of an axis is made of.
using Taps = std::vector<std::vector<Tap>>;
using AxisTaps = Taps (*)(int64_t from, int64_t to, double factor, bool option);

float ratio(int64_t from, int64_t to, double factor) {
  return factor > 0 ? static_cast<float>(1 / factor)
                    : static_cast<float>(from) / static_cast<float>(to);
}

Taps nearest(int64_t from, int64_t to, double factor, bool exact) {
  Taps taps(to);
  const float scale = ratio(from, to, factor), shift = exact ? 0.5f : 0.0f;
  for (int64_t i = 0; i < to; ++i) {
    const float place = std::floor((static_cast<float>(i) + shift) * scale);
    taps[i] = {{from == to ? i : std::min(static_cast<int64_t>(place), from - 1), 1.0}};
  }
  return taps;
}

float position(int64_t i, int64_t from, int64_t to, double factor, bool align_corners) {
  if (!align_corners) {
    return std::fma(ratio(from, to, factor), static_cast<float>(i) + 0.5f, -0.5f);
  }
  return to > 1 ? static_cast<float>(from - 1) / static_cast<float>(to - 1) * static_cast<float>(i)
                : 0.0f;
}

Taps linear(int64_t from, int64_t to, double factor, bool align_corners) {
  Taps taps(to);
  for (int64_t i = 0; i < to; ++i) {
    const double p = std::max(position(i, from, to, factor, align_corners), 0.0f);
    const auto first = static_cast<int64_t>(p);
    taps[i] = {{first, 1 - (p - first)}, {std::min(first + 1, from - 1), p - first}};
  }
  return taps;
}

double convolution_near(double x) { return ((-0.75 + 2) * x - (-0.75 + 3)) * x * x + 1; }
double convolution_far(double x) { return ((-0.75 * x + 3.75) * x - 6) * x + 3; }

Taps cubic(int64_t from, int64_t to, double factor, bool align_corners) {
  Taps taps(to);
  for (int64_t i = 0; i < to; ++i) {
    const double p = position(i, from, to, factor, align_corners), t = p - std::floor(p);
    const double weights[] = {convolution_far(1 + t), convolution_near(t), convolution_near(1 - t),
                              convolution_far(2 - t)};
    for (int64_t k = 0; k < 4; ++k) {
      const auto place = static_cast<int64_t>(std::floor(p)) - 1 + k;
      taps[i].push_back({std::clamp<int64_t>(place, 0, from - 1), weights[k]});
    }
  }
  return taps;
}

bool keeps_sizes(const polyops_tensor& a, const polyops_tensor& b) {
  return a.sizes[2] == b.sizes[2] && a.sizes[3] == b.sizes[3];
}

void copy(const polyops_tensor& src, const polyops_tensor& dst) {
  for (int64_t i = 0; i < polyops_numel(&src); ++i) store(dst, i, load(src, i));
}

// Calls f(element of the small image, element of the large one, their weight) for all that meet.
template <class F>
void for_each_pair(const polyops_tensor& small, const polyops_tensor& large, const Taps& rows,
                   const Taps& columns, F f) {
  const int64_t width = small.sizes[3], area = small.sizes[2] * width;
  const int64_t large_width = large.sizes[3], large_area = large.sizes[2] * large_width;
  for (int64_t plane = 0; plane < small.sizes[0] * small.sizes[1]; ++plane) {
    for (int64_t y = 0; y < large.sizes[2]; ++y) {
      for (int64_t x = 0; x < large_width; ++x) {
        const int64_t at = plane * large_area + y * large_width + x;
        for (const Tap& row : rows[y]) {
          for (const Tap& column : columns[x]) {
            f(plane * area + row.place * width + column.place, at, row.weight * column.weight);
          }
        }
      }
    }
  }
}

void forward(const polyops_upsample_args& args, AxisTaps taps, bool option) {
  const polyops_tensor &src = args.src, &dst = args.dst;
  if (keeps_sizes(src, dst)) return copy(src, dst);
  const Taps rows = taps(src.sizes[2], dst.sizes[2], args.factors[0], option);
  const Taps columns = taps(src.sizes[3], dst.sizes[3], args.factors[1], option);
  std::vector<double> sums(polyops_numel(&dst), -0.0);
  for_each_pair(src, dst, rows, columns, [&](int64_t from, int64_t to, double weight) {
    sums[to] += weight * load(src, from);
  });
  for (size_t i = 0; i < sums.size(); ++i) store(dst, static_cast<int64_t>(i), sums[i]);
}

void backward(const polyops_upsample_backward_args& args, AxisTaps taps) {
  const polyops_tensor &grad = args.grad_dst, &result = args.grad_src;
  if (keeps_sizes(grad, result)) return copy(grad, result);
  const bool align = args.align_corners != 0;
  const Taps rows = taps(result.sizes[2], grad.sizes[2], args.factors[0], align);
  const Taps columns = taps(result.sizes[3], grad.sizes[3], args.factors[1], align);
  std::vector<double> sums(polyops_numel(&result), 0.0);
  for_each_pair(result, grad, rows, columns, [&](int64_t small, int64_t large, double weight) {
    sums[small] += weight * load(grad, large);
  });
  for (size_t i = 0; i < sums.size(); ++i) store(result, static_cast<int64_t>(i), sums[i]);
}

// Where the results begin that have the element at that place.
int64_t nearest_begin(int64_t place, int64_t from, int64_t to, double factor, bool exact) {
  const float scale =
      factor > 0 ? static_cast<float>(factor) : static_cast<float>(to) / static_cast<float>(from);
  const float begin = std::ceil(std::fma(static_cast<float>(place), scale, exact ? -0.5f : 0.0f));
  return static_cast<int64_t>(std::min(begin, static_cast<float>(to)));
}

}  // namespace

void upsample_nearest2d(const polyops_upsample_args& args) {
  forward(args, nearest, args.exact != 0);
}
void upsample_bilinear2d(const polyops_upsample_args& args) {
  forward(args, linear, args.align_corners != 0);
}
void upsample_bicubic2d(const polyops_upsample_args& args) {
  forward(args, cubic, args.align_corners != 0);
}
void upsample_bilinear2d_backward(const polyops_upsample_backward_args& args) {
  backward(args, linear);
}
void upsample_bicubic2d_backward(const polyops_upsample_backward_args& args) {
  backward(args, cubic);
}

void upsample_nearest2d_backward(const polyops_upsample_backward_args& args) {
  const polyops_tensor &grad = args.grad_dst, &result = args.grad_src;
  if (keeps_sizes(grad, result)) return copy(grad, result);
  const auto begin = [&](int d, int64_t place) {
    return nearest_begin(place, result.sizes[d], grad.sizes[d], args.factors[d - 2],
                         args.exact != 0);
  };
  const int64_t high = result.sizes[2], wide = result.sizes[3];
  for (int64_t i = 0; i < polyops_numel(&result); ++i) {
    const int64_t x = i % wide, y = i / wide % high, plane = i / wide / high;
    double sum = 0;
    for (int64_t row = begin(2, y); row < begin(2, y + 1); ++row) {
      for (int64_t column = begin(3, x); column < begin(3, x + 1); ++column) {
        sum += load(grad, (plane * grad.sizes[2] + row) * grad.sizes[3] + column);
      }
    }
    store(result, i, sum);
  }
}

}  // namespace polyops::reference
