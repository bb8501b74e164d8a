// The cases of convolution's tests, the same forward and backward.
#ifndef POLYOPS_TESTS_KERNELS_CONVOLUTION_CASES_H_
#define POLYOPS_TESTS_KERNELS_CONVOLUTION_CASES_H_

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <random>
#include <vector>

#include "convolution_case.h"
#include "harness.h"

namespace polyops::testing {

// Choices that are the same on every machine.
class Dice {
 public:
  explicit Dice(uint32_t seed) : generator_(seed) {}
  template <class T>
  T pick(std::initializer_list<T> of) {
    return of.begin()[generator_() % of.size()];
  }
  int64_t below(int64_t n) { return static_cast<int64_t>(generator_() % n); }
  bool coin() { return below(2) == 1; }
  Layout layout() { return coin() ? Layout::kLast : Layout::kDense; }
  // Src and dst as torch has them, alike; the weight one or the other.
  void lay_out(Case* c) {
    c->src = c->dst = c->grad_src = layout();
    c->weight = c->grad_weight = layout();
    c->bias = coin();
  }

 private:
  std::mt19937 generator_;
};

// Enough padding for one result at least.
inline Case fitted(Case c) {
  for (size_t d = 0; d < c.in.size(); ++d) {
    while (c.out(d) < 1) {
      for (int64_t& p : c.padding) ++p;
    }
  }
  return c;
}

using Cases = std::vector<Case>;

// One small case of each kind.
inline Cases kinds() {
  return {
      {.batch = 2, .channels = 3, .filters = 18, .in = {5, 20}, .taps = {3, 3}, .padding = {1}},
      {.channels = 17, .filters = 5, .in = {6, 18}, .taps = {3, 3}, .stride = {2}, .padding = {2}},
      {.batch = 2, .channels = 19, .filters = 33, .in = {3, 7}, .taps = {1, 1}},
      {.batch = 2, .groups = 19, .in = {5, 20}, .taps = {3, 3}, .padding = {1}},
      {.groups = 3, .channels = 2, .filters = 7, .in = {5, 6}, .taps = {2, 2}, .dilation = {2}},
      {.channels = 5, .filters = 9, .in = {35}, .taps = {5}, .padding = {2}},
      {.channels = 3, .filters = 4, .in = {3, 4, 9}, .taps = {3, 1, 3}, .padding = {1}},
      {.batch = 2, .channels = 32, .filters = 18, .in = {5, 20}, .taps = {3, 3}, .padding = {1}},
  };
}

// Rows of 1 to 70 under every usual length of filter, in one and in two dimensions.
inline Cases every_width() {
  Dice dice(1);
  Cases all;
  for (int64_t width = 1; width <= 70; ++width) {
    for (int64_t taps : {1, 2, 3, 5, 7}) {
      Case c = {.batch = 1 + dice.below(2),
                .channels = dice.pick<int64_t>({1, 2, 3, 8}),
                .filters = dice.pick<int64_t>({1, 3, 4, 9, 17}),
                .in = {width},
                .taps = {taps},
                .stride = {dice.pick<int64_t>({1, 1, 2, 3})},
                .padding = {dice.below(taps + 1)},
                .dilation = {dice.pick<int64_t>({1, 1, 2})}};
      if (width % 2 == 0) {
        c.in = {1 + dice.below(4), width};
        c.taps = {1 + dice.below(3), taps};
      }
      dice.lay_out(&c);
      all.push_back(fitted(c));
    }
  }
  return all;
}

// Every stride, padding and dilation of small filters, square or not; paddings that are larger
// than the filter leave whole rows of results that see nothing else.
inline Cases every_window() {
  Dice dice(2);
  Cases all;
  for (int64_t taps : {1, 2, 3, 5, 7}) {
    for (int64_t stride : {1, 2, 3}) {
      for (int64_t dilation : {1, 2}) {
        for (int64_t padding = 0; padding <= taps + 1; ++padding) {
          Case c = {.batch = 2,
                    .channels = dice.pick<int64_t>({1, 3, 16}),
                    .filters = dice.pick<int64_t>({2, 8, 19}),
                    .in = {dice.pick<int64_t>({3, 6, 9}), dice.pick<int64_t>({2, 13, 20})},
                    .taps = {taps, dice.pick<int64_t>({1, 3, taps})},
                    .stride = {stride, dice.pick<int64_t>({1, 2, stride})},
                    .padding = {padding, dice.pick<int64_t>({0, 1, padding})},
                    .dilation = {dilation, dice.pick<int64_t>({1, dilation})}};
          dice.lay_out(&c);
          all.push_back(fitted(c));
        }
      }
    }
  }
  for (int64_t stride : {4, 7, 32}) {
    Case c = {.channels = 3, .filters = 5, .in = {9, 70}, .taps = {2, 3}, .stride = {1, stride}};
    dice.lay_out(&c);
    all.push_back(c);
  }
  return all;
}

inline Cases every_number_of_filters() {
  Dice dice(3);
  Cases all;
  for (int64_t filters = 1; filters <= 70; ++filters) {
    for (int64_t taps : {1, 3}) {
      Case c = {.batch = 1 + dice.below(3),
                .channels = dice.pick<int64_t>({1, 3, 4, 16, 17}),
                .filters = filters,
                .in = {dice.pick<int64_t>({1, 4, 7}), dice.pick<int64_t>({3, 7, 17})},
                .taps = {taps, taps},
                .stride = {dice.pick<int64_t>({1, 1, 2})},
                .padding = {taps / 2}};
      dice.lay_out(&c);
      all.push_back(c);
    }
  }
  return all;
}

// A product of matrices.
inline Cases pointwise() {
  Dice dice(4);
  Cases all;
  for (int64_t channels : {1, 7, 64, 130, 257}) {
    for (int64_t filters : {1, 16, 33, 70}) {
      for (const Sizes& in : std::vector<Sizes>{{1, 1}, {5, 7}, {37}, {2, 3, 4}}) {
        Case c = {.batch = dice.pick<int64_t>({1, 2, 5}),
                  .channels = channels,
                  .filters = filters,
                  .in = in,
                  .taps = Sizes(in.size(), 1),
                  .stride = {dice.pick<int64_t>({1, 1, 2})},
                  .padding = {dice.pick<int64_t>({0, 0, 0, 1})}};
        dice.lay_out(&c);
        all.push_back(c);
      }
    }
  }
  return all;
}

inline Cases depthwise() {
  Dice dice(5);
  Cases all;
  for (int64_t groups : {2, 3, 8, 15, 16, 17, 33, 70}) {
    for (int64_t taps : {2, 3, 5, 7}) {
      for (int64_t width : {1, 5, 8, 16, 19, 35}) {
        Case c = {.batch = 1 + dice.below(2),
                  .groups = groups,
                  .filters = dice.pick<int64_t>({1, 1, 2}),
                  .in = {1 + dice.below(7), width},
                  .taps = {dice.pick<int64_t>({1, taps, taps}), taps},
                  .stride = {dice.pick<int64_t>({1, 1, 2})},
                  .padding = {dice.pick<int64_t>({0, taps / 2, taps / 2})},
                  .dilation = {dice.pick<int64_t>({1, 1, 1, 2})}};
        if (width == 35) c.in = {35}, c.taps = {taps};
        if (width == 5) c.in = {3, 4, 5}, c.taps = {2, taps, taps};
        dice.lay_out(&c);
        all.push_back(fitted(c));
      }
    }
  }
  for (int64_t width = 1; width <= 70; ++width) {
    const int64_t taps = dice.pick<int64_t>({3, 3, 5, 7, 9});
    Case c = {.groups = 2 + dice.below(2),
              .in = {1 + dice.below(17), width},
              .taps = {dice.pick<int64_t>({3, 5, 7}), taps},
              .stride = {dice.pick<int64_t>({1, 1, 2})},
              .padding = {dice.below(taps)}};
    dice.lay_out(&c);
    all.push_back(fitted(c));
  }
  return all;
}

inline Cases grouped() {
  Dice dice(6);
  Cases all;
  for (int64_t groups : {2, 3, 5}) {
    for (int64_t channels : {1, 2, 4, 9, 16, 20}) {
      for (int64_t filters : {1, 3, 8, 16, 17}) {
        const int64_t taps = dice.pick<int64_t>({1, 3, 3, 5});
        Case c = {.batch = 1 + dice.below(2),
                  .groups = groups,
                  .channels = channels,
                  .filters = filters,
                  .in = {dice.pick<int64_t>({5, 8}), dice.pick<int64_t>({5, 18})},
                  .taps = {taps, taps},
                  .stride = {dice.pick<int64_t>({1, 2})},
                  .padding = {dice.below(3)}};
        dice.lay_out(&c);
        all.push_back(fitted(c));
      }
    }
  }
  return all;
}

// Channels in whole blocks of 32, as AMX takes them; every number of filters around its panels.
inline Cases blocks_of_channels() {
  Dice dice(9);
  // This one keeps as many results at a time as there is room for.
  Cases all = {
      {.channels = 32, .filters = 32, .in = {28, 28}, .taps = {3, 3}, .padding = {1}},
  };
  for (int64_t channels : {32, 64, 160, 256}) {
    for (int64_t filters : {1, 15, 16, 17, 31, 32, 33, 48, 65, 96}) {
      const int64_t taps = dice.pick<int64_t>({1, 2, 3, 3, 5});
      Case c = {.batch = 1 + dice.below(3),
                .groups = dice.pick<int64_t>({1, 1, 2}),
                .channels = channels,
                .filters = filters,
                .in = {dice.pick<int64_t>({1, 3, 7, 9}), 1 + dice.below(40)},
                .taps = {taps, dice.pick<int64_t>({1, 2, 3})},
                .stride = {dice.pick<int64_t>({1, 1, 2, 3}), dice.pick<int64_t>({1, 1, 2, 3})},
                .padding = {dice.below(taps + 1), dice.below(3)},
                .dilation = {dice.pick<int64_t>({1, 1, 2})}};
      if (filters % 3 == 0) c.in = {33 + dice.below(9)}, c.taps = {taps};
      if (filters % 5 == 0) c.in = {2, 3, 1 + dice.below(18)}, c.taps = {2, 3, taps};
      dice.lay_out(&c);
      all.push_back(fitted(c));
      c.src = kLayouts[dice.below(6)];
      c.weight = kLayouts[dice.below(6)];
      c.dst = kLayouts[dice.below(6)];
      c.offset = dice.pick<int64_t>({0, 1, 3, 13});
      if (dice.below(8) == 0) c.src = Layout::kOneValue;
      all.push_back(fitted(c));
    }
  }
  return all;
}

inline Cases volumes() {
  Dice dice(7);
  Cases all;
  for (const Sizes& in : std::vector<Sizes>{{1, 1, 1}, {2, 3, 5}, {4, 6, 17}, {9, 2, 3}}) {
    for (const Sizes& taps :
         std::vector<Sizes>{{1, 1, 1}, {3, 3, 3}, {1, 3, 3}, {3, 1, 1}, {2, 3, 1}, {3, 1, 7}}) {
      for (int64_t stride : {1, 2}) {
        Case c = {.batch = 1 + dice.below(2),
                  .groups = dice.pick<int64_t>({1, 1, 2}),
                  .channels = dice.pick<int64_t>({1, 3, 16}),
                  .filters = dice.pick<int64_t>({1, 5, 20}),
                  .in = in,
                  .taps = taps,
                  .stride = {stride, 1, dice.pick<int64_t>({1, 2, 3})},
                  .padding = {dice.below(3), dice.below(3), dice.below(3)},
                  .dilation = {1, dice.pick<int64_t>({1, 2})}};
        dice.lay_out(&c);
        all.push_back(fitted(c));
      }
    }
  }
  return all;
}

// Every layout of src beside every layout of dst, over one of each kind of convolution.
inline Cases layouts() {
  Dice dice(8);
  Cases all;
  for (const Case& kind : {
           Case{.batch = 2, .channels = 5, .filters = 18, .in = {6, 19}, .taps = {3, 3}},
           Case{.batch = 2, .channels = 16, .filters = 32, .in = {6, 16}, .taps = {1, 1}},
           Case{.batch = 2, .groups = 18, .in = {6, 19}, .taps = {3, 3}},
           Case{.groups = 2, .channels = 3, .filters = 8, .in = {5, 16}, .taps = {3, 1}},
           Case{.batch = 2, .channels = 4, .filters = 9, .in = {33}, .taps = {3}},
           Case{.channels = 4, .filters = 9, .in = {3, 1, 18}, .taps = {3, 1, 3}},
           Case{.batch = 3, .in = {1, 9}, .taps = {1, 3}},
       }) {
    for (Layout src : kLayouts) {
      for (Layout dst : kLayouts) {
        Case c = kind;
        c.src = src;
        c.dst = dst;
        c.weight = kLayouts[dice.below(6)];
        c.grad_src = kLayouts[dice.below(6)];
        c.grad_weight = kLayouts[dice.below(6)];
        c.bias = dice.coin();
        c.stride = {dice.pick<int64_t>({1, 1, 2})};
        c.padding = {dice.below(2)};
        c.offset = dice.pick<int64_t>({0, 1, 3, 13});
        if (dice.below(8) == 0) c.src = Layout::kOneValue;
        if (dice.below(8) == 0) c.weight = Layout::kOneValue;
        all.push_back(fitted(c));
      }
    }
  }
  return all;
}

// Long sums, large images and batches: work that is cut into pieces, for the caches or for threads.
inline Cases large() {
  Cases all;
  for (Layout l : {Layout::kDense, Layout::kLast}) {
    for (Case c : {
             Case{.channels = 300, .filters = 20, .in = {6, 9}, .taps = {3, 3}},
             Case{.channels = 300, .filters = 5, .in = {80}, .taps = {3}},
             Case{.channels = 260, .filters = 40, .in = {19, 21}, .taps = {3, 3}},
             Case{.channels = 100, .filters = 70, .in = {6, 7}, .taps = {3, 3}},
             Case{.channels = 64, .filters = 4, .in = {48, 50}, .taps = {3, 3}},
             Case{.channels = 4, .filters = 64, .in = {48, 50}, .taps = {3, 3}},
             Case{.batch = 3, .channels = 16, .filters = 24, .in = {20, 25}, .taps = {3, 3}},
             Case{.batch = 7, .channels = 8, .filters = 20, .in = {5, 6}, .taps = {3, 3}},
             Case{.batch = 2, .channels = 3, .filters = 16, .in = {51, 60}, .taps = {7, 7}},
             Case{.batch = 2, .channels = 64, .filters = 96, .in = {18, 19}, .taps = {1, 1}},
             Case{.batch = 2,
                  .groups = 4,
                  .channels = 16,
                  .filters = 16,
                  .in = {16, 17},
                  .taps = {3, 3}},
             Case{.channels = 8, .filters = 16, .in = {6, 14, 15}, .taps = {3, 3, 3}},
             Case{.batch = 2, .groups = 33, .in = {20, 20}, .taps = {3, 3}},
             Case{.groups = 4, .in = {61, 90}, .taps = {3, 3}},
             Case{.groups = 4, .in = {75, 140}, .taps = {5, 5}, .stride = {2}},
             Case{.groups = 4, .in = {61, 90}, .taps = {2, 3}, .dilation = {2}},
             Case{.groups = 4, .in = {4, 24, 30}, .taps = {3, 3, 3}},
         }) {
      c.src = c.weight = c.dst = c.grad_src = c.grad_weight = l;
      c.padding = {c.taps[0] / 2};
      c.stride = {c.taps[0] == 7 ? 2 : c.stride[0]};
      c.bias = true;
      all.push_back(c);
    }
  }
  return all;
}

// Sizes and strides alone, of images too large to make.
inline polyops_tensor without_memory(const Sizes& sizes, Layout layout) {
  polyops_tensor t = {};
  t.dtype = POLYOPS_FLOAT32;
  t.rank = static_cast<int32_t>(sizes.size());
  const Sizes strides = strides_of(layout, sizes);
  std::copy(sizes.begin(), sizes.end(), t.sizes);
  std::copy(strides.begin(), strides.end(), t.strides);
  return t;
}

// Calls visit(src, weight, dst, stride) for images of many heights, widths and channels, 3 x 3 taps
// with padding 1.
template <class Visit>
void for_each_large_image(const Visit& visit) {
  for (int64_t height = 1; height < 400; height += 1 + height / 20) {
    for (int64_t width : {8, 61, 1000}) {
      for (int64_t channels : {3, 64, 512, 2048}) {
        for (int64_t stride : {1, 2}) {
          for (Layout layout : {Layout::kDense, Layout::kLast}) {
            const Sizes dst = {3, 64, (height - 1) / stride + 1, (width - 1) / stride + 1};
            visit(without_memory({3, channels, height, width}, layout),
                  without_memory({64, channels, 3, 3}, layout), without_memory(dst, layout),
                  stride);
          }
        }
      }
    }
  }
}

// A plan is found, and asks for no more than it should.
inline void check_scratch(const polyops_kernel& kernel, const void* args) {
  if (kernel.supports(args) != nullptr || kernel.scratch_bytes == nullptr) return;
  for (int threads : {1, 2, 3, 16}) {
    ASSERT_LT(kernel.scratch_bytes(args, threads), threads * (size_t{48} << 20)) << kernel.name;
  }
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_CONVOLUTION_CASES_H_
