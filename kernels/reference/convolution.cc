#include "reference/convolution.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "reference/elements.h"

namespace polyops::reference {
namespace {

using Doubles = std::vector<double>;

// One spatial dimension.
struct Axis {
  int64_t in = 1, out = 1, taps = 1, stride = 1, padding = 0, dilation = 1;

  // Where tap t of the result at 0 reads.
  int64_t start(int64_t t) const { return t * dilation - padding; }
  // The results whose tap t lies inside of src: [first, end).
  int64_t first(int64_t t) const { return std::max<int64_t>(0, (stride - 1 - start(t)) / stride); }
  int64_t end(int64_t t) const {
    return start(t) >= in ? 0 : std::min(out, (in - 1 - start(t)) / stride + 1);
  }
};

// A call's sizes; channels and filters are those of one group.
struct Shape {
  int64_t batch, groups, channels, filters;
  std::array<Axis, POLYOPS_MAX_SPATIAL> axes;  // those that the call lacks come first

  Shape(int64_t the_groups, const polyops_convolution_window& window, const polyops_tensor& src,
        const polyops_tensor& weight, const polyops_tensor& dst)
      : batch(src.sizes[0]),
        groups(the_groups),
        channels(weight.sizes[1]),
        filters(weight.sizes[0] / the_groups) {
    const int spatial = src.rank - 2;
    for (int d = 0; d < spatial; ++d) {
      axes[POLYOPS_MAX_SPATIAL - spatial + d] = {src.sizes[2 + d],    dst.sizes[2 + d],
                                                 weight.sizes[2 + d], window.stride[d],
                                                 window.padding[d],   window.dilation[d]};
    }
  }

  int64_t pixels() const { return axes[0].out * axes[1].out * axes[2].out; }

  // visit(src, weight, dst, n) for all products, by rows: the numbers, in dense tensors, of the
  // first elements of n products. From one to the next src steps by axes[2].stride, dst by 1.
  template <class Visit>
  void products(Visit visit) const {
    const int64_t src_pixels = axes[0].in * axes[1].in * axes[2].in;
    const int64_t taps = axes[0].taps * axes[1].taps * axes[2].taps;
    for (int64_t i = 0; i < batch * groups; ++i) {
      for (int64_t o = 0; o < filters; ++o) {
        for (int64_t c = 0; c < channels; ++c) {
          const int64_t filter = i % groups * filters + o;
          plane((i * channels + c) * src_pixels, (filter * channels + c) * taps,
                (i * filters + o) * pixels(), visit);
        }
      }
    }
  }

 private:
  template <class Visit>
  void plane(int64_t src, int64_t weight, int64_t dst, Visit visit) const {
    const auto& [a, b, c] = axes;
    for (int64_t t = 0; t < a.taps * b.taps * c.taps; ++t, ++weight) {
      const int64_t ta = t / c.taps / b.taps, tb = t / c.taps % b.taps, tc = t % c.taps;
      const int64_t from = c.first(tc), n = c.end(tc) - from;
      if (n <= 0) continue;
      for (int64_t i = a.first(ta); i < a.end(ta); ++i) {
        for (int64_t j = b.first(tb); j < b.end(tb); ++j) {
          const int64_t row = (a.start(ta) + i * a.stride) * b.in + b.start(tb) + j * b.stride;
          visit(src + row * c.in + c.start(tc) + from * c.stride, weight,
                dst + (i * b.out + j) * c.out + from, n);
        }
      }
    }
  }
};

double identity(double x) { return x; }
double magnitude(double x) { return std::fabs(x); }

Doubles dense(const polyops_tensor& t, double (*of)(double)) {
  Doubles all(polyops_numel(&t));
  for (size_t i = 0; i < all.size(); ++i) all[i] = of(load(t, static_cast<int64_t>(i)));
  return all;
}

void store_all(const polyops_tensor& t, const Doubles& values) {
  for (size_t i = 0; i < values.size(); ++i) store(t, static_cast<int64_t>(i), values[i]);
}

Doubles forward(const polyops_convolution_args& args, double (*of)(double)) {
  const Shape shape(args.groups, args.window, args.src, args.weight, args.dst);
  const Doubles src = dense(args.src, of), weight = dense(args.weight, of);
  Doubles dst(polyops_numel(&args.dst));
  const int64_t step = shape.axes[2].stride;
  shape.products([&](int64_t s, int64_t w, int64_t d, int64_t n) {
    for (int64_t i = 0; i < n; ++i) dst[d + i] += src[s + i * step] * weight[w];
  });
  if (!polyops_is_present(&args.bias)) return dst;
  const Doubles bias = dense(args.bias, of);
  for (size_t i = 0; i < dst.size(); ++i) dst[i] += bias[i / shape.pixels() % bias.size()];
  return dst;
}

ConvolutionGradients backward(const polyops_convolution_backward_args& args, double (*of)(double)) {
  const Shape shape(args.groups, args.window, args.src, args.weight, args.grad_dst);
  const Doubles grad = dense(args.grad_dst, of);
  const int64_t step = shape.axes[2].stride;
  ConvolutionGradients to;
  if (polyops_is_present(&args.grad_src)) {
    const Doubles weight = dense(args.weight, of);
    to.src.resize(polyops_numel(&args.src));
    shape.products([&](int64_t s, int64_t w, int64_t d, int64_t n) {
      for (int64_t i = 0; i < n; ++i) to.src[s + i * step] += grad[d + i] * weight[w];
    });
  }
  if (polyops_is_present(&args.grad_weight)) {
    const Doubles src = dense(args.src, of);
    to.weight.resize(polyops_numel(&args.weight));
    shape.products([&](int64_t s, int64_t w, int64_t d, int64_t n) {
      for (int64_t i = 0; i < n; ++i) to.weight[w] += grad[d + i] * src[s + i * step];
    });
  }
  if (polyops_is_present(&args.grad_bias)) {
    to.bias.resize(args.weight.sizes[0]);
    for (size_t i = 0; i < grad.size(); ++i) {
      to.bias[i / shape.pixels() % to.bias.size()] += grad[i];
    }
  }
  return to;
}

}  // namespace

void convolution(const polyops_convolution_args& args) {
  store_all(args.dst, forward(args, identity));
}

Doubles convolution_scale(const polyops_convolution_args& args) { return forward(args, magnitude); }

void convolution_backward(const polyops_convolution_backward_args& args) {
  const ConvolutionGradients exact = backward(args, identity);
  store_all(args.grad_src, exact.src);
  store_all(args.grad_weight, exact.weight);
  store_all(args.grad_bias, exact.bias);
}

ConvolutionGradients convolution_backward_scale(const polyops_convolution_backward_args& args) {
  return backward(args, magnitude);
}

}  // namespace polyops::reference
