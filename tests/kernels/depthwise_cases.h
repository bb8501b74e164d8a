// Cases of depthwise convolutions, for the families that have kernels of no others.
#ifndef POLYOPS_TESTS_KERNELS_DEPTHWISE_CASES_H_
#define POLYOPS_TESTS_KERNELS_DEPTHWISE_CASES_H_

#include <vector>

#include "convolution_cases.h"

namespace polyops::testing {

constexpr int32_t kGpuDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16};

inline Case in_layout(Case c, Layout layout) {
  c.src = c.dst = c.grad_src = c.grad_weight = layout;
  return c;
}

// One of each kind, in both orders of memory: the filters that are compiled, and others.
inline Cases depthwise_kinds() {
  const Cases some = {
      {.batch = 2, .groups = 8, .in = {5, 20}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 16, .in = {15, 9}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.groups = 24, .in = {9, 7}, .taps = {5, 5}, .padding = {2}},
      {.groups = 8, .in = {10, 11}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 8, .in = {8, 9}, .taps = {7, 7}, .padding = {3}},
      {.groups = 8, .in = {14, 13}, .taps = {7, 7}, .stride = {2}, .padding = {3}},
      {.batch = 2, .groups = 8, .in = {37}, .taps = {4}, .padding = {3}},
      {.batch = 3, .groups = 16, .in = {20}, .taps = {3}, .padding = {0}},
      {.groups = 8, .in = {40}, .taps = {2}, .padding = {1}},
      {.groups = 8, .in = {45}, .taps = {15}, .stride = {2}, .padding = {7}},
      {.batch = 2, .groups = 8, .in = {45}, .taps = {31}, .padding = {15}},
      {.groups = 8, .filters = 2, .in = {6, 9}, .taps = {3, 3}, .padding = {1}},
      {.groups = 8, .in = {9, 9}, .taps = {3, 3}, .padding = {2}, .dilation = {2}},
  };
  Cases all;
  for (Layout layout : {Layout::kDense, Layout::kLast}) {
    for (const Case& c : some) all.push_back(in_layout(c, layout));
  }
  return all;
}

// Tiles of several planes and of parts of one; padding beyond the filter; few and many channels.
inline Cases tiles() {
  Cases all = {
      {.batch = 3, .groups = 70, .in = {7, 7}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 20, .in = {14, 14}, .taps = {5, 5}, .padding = {2}},
      {.groups = 2, .in = {120, 112}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 2, .in = {97, 131}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 2, .in = {131, 114}, .taps = {3, 3}, .stride = {2}, .padding = {0, 1}},
      {.groups = 3, .in = {13, 6}, .taps = {3, 3}, .stride = {2}, .padding = {2, 4}},
      {.groups = 2, .in = {30, 401}, .taps = {7, 7}, .padding = {3}},
      {.groups = 2, .in = {13005}, .taps = {4}, .padding = {3}},
      {.groups = 3, .in = {9000}, .taps = {3}, .padding = {1}},
      {.groups = 2, .in = {4200}, .taps = {9}, .padding = {2}},
      {.batch = 2, .groups = 2, .in = {4, 5}, .taps = {3, 3}, .padding = {6, 5}},
      {.groups = 2, .in = {6}, .taps = {4}, .padding = {9}},
      {.batch = 5, .groups = 3, .in = {263}, .taps = {4}, .padding = {3}},
      {.batch = 3, .groups = 7, .in = {5}, .taps = {2}},
      {.batch = 2, .groups = 3, .in = {1}, .taps = {2}, .padding = {1}},
      {.batch = 9, .groups = 3, .in = {1531}, .taps = {3}, .padding = {2}},
      {.groups = 2, .in = {1, 9}, .taps = {3, 3}, .padding = {1}},
      {.groups = 2, .in = {1, 9}, .taps = {1, 3}, .padding = {2, 1}},
      {.batch = 2, .groups = 3, .in = {1, 1}, .taps = {3, 3}, .padding = {1}},
      {.groups = 2, .in = {9, 3000}, .taps = {3, 3}, .padding = {1}},
  };
  for (int64_t groups : {8, 72, 136}) {
    for (int64_t width : {1, 4, 19}) {
      const Case c = {
          .batch = 2, .groups = groups, .in = {3, width}, .taps = {3, 3}, .padding = {1}};
      all.push_back(in_layout(c, Layout::kLast));
    }
  }
  // Blocks of some of the channels, images in stretches of rows.
  for (const Case& c : {
           Case{.groups = 264, .in = {9, 10}, .taps = {3, 3}, .padding = {1}},
           Case{.groups = 136, .in = {14, 13}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
           Case{.batch = 2, .groups = 8, .in = {61, 14}, .taps = {3, 3}, .padding = {0, 1}},
           Case{.groups = 16, .in = {40, 21}, .taps = {5, 5}, .padding = {2, 4}},
           Case{.groups = 8, .in = {75, 9}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
       }) {
    all.push_back(in_layout(c, Layout::kLast));
  }
  Dice dice(11);
  for (Case& c : all) {
    c.bias = dice.coin();
    c.offset = dice.pick<int64_t>({0, 1, 3, 13});
  }
  // Rows of whole groups of 4 or 2, aligned: planes that are cut into stretches, and others.
  for (const Case& c : {
           Case{.batch = 2, .groups = 3, .in = {9, 8}, .taps = {5, 5}, .padding = {2}},
           Case{.groups = 3, .in = {61, 44}, .taps = {3, 3}, .padding = {1}},
           Case{.groups = 3, .in = {62, 48}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
           Case{.groups = 3, .in = {12, 16}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
           Case{.batch = 2, .groups = 2, .in = {13, 20}, .taps = {7, 7}, .padding = {3}},
           Case{.batch = 2, .groups = 5, .in = {1, 4}, .taps = {3, 3}, .padding = {1}},
           Case{.batch = 3, .groups = 20, .in = {14, 14}, .taps = {3, 3}, .padding = {1}},
           Case{.groups = 3, .in = {12, 20}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
           Case{.groups = 3, .in = {14, 14}, .taps = {5, 5}, .padding = {2}},
           Case{.groups = 3, .in = {28, 28}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
           Case{.groups = 3, .in = {14, 14}, .taps = {7, 7}, .padding = {3}},
           Case{.batch = 2, .groups = 3, .in = {5, 2}, .taps = {7, 7}, .padding = {3}},
       }) {
    all.push_back(c);
  }
  return all;
}

// Images of 16 bits that fill a good part of matrices of 16 bands of 7 rows: a band and several, of
// several images and of one, parts of an image; rows of one unit, of two, and longer. Then rows, in
// pieces.
inline Cases bands() {
  return {
      {.batch = 9, .groups = 5, .in = {7, 6}, .taps = {7, 7}, .padding = {3}},
      {.batch = 5, .groups = 6, .in = {14, 14}, .taps = {5, 5}, .padding = {2}, .bias = true},
      {.batch = 3, .groups = 3, .in = {28, 28}, .taps = {7, 7}, .padding = {3}, .bias = true},
      {.groups = 2, .in = {120, 18}, .taps = {5, 5}, .padding = {2}},
      {.batch = 20, .groups = 2, .in = {5, 2}, .taps = {7, 7}, .padding = {3}},
      {.groups = 2, .in = {51, 34}, .taps = {7, 7}, .padding = {3}},
      {.batch = 2, .groups = 3, .in = {1300}, .taps = {31}, .padding = {15}, .bias = true},
      {.batch = 3, .groups = 5, .in = {36}, .taps = {9}, .padding = {4}},
      {.batch = 2, .groups = 3, .in = {40}, .taps = {31}, .padding = {0}},
      {.batch = 3, .groups = 3, .in = {786}, .taps = {31}, .padding = {30}},
  };
}

// 7x7 taps of planes of aligned rows of 28 and more: rows that waves share and that are a wave's
// own, waves that begin inside of planes and go on in others, more padding than rows.
inline Cases wide_rows() {
  return {
      {.batch = 3, .groups = 17, .in = {37, 28}, .taps = {7, 7}, .padding = {3}, .bias = true},
      {.batch = 5, .groups = 8, .in = {19, 36}, .taps = {7, 7}, .padding = {3}},
      {.groups = 2, .in = {21, 256}, .taps = {7, 7}, .padding = {3}, .bias = true},
      {.batch = 2, .groups = 3, .in = {2, 40}, .taps = {7, 7}, .padding = {3}},
      {.batch = 3, .groups = 2, .in = {1, 28}, .taps = {7, 7}, .padding = {3}},
  };
}

// Stride 2, and 3x3 and 7x7 taps at stride 1, of planes of aligned rows: one group of results to a
// row and several, of 4 and of 2; one row of results and many; several images.
inline Cases spreads() {
  Cases all = {
      {.batch = 3, .groups = 3, .in = {16, 24}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 2, .groups = 5, .in = {22, 16}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.batch = 2, .groups = 2, .in = {10, 12}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 2, .groups = 2, .in = {14, 20}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 3, .in = {2, 8}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.groups = 3, .in = {2, 4}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 3, .in = {4, 8}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 2, .in = {118, 32}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 70, .groups = 2, .in = {6, 8}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.batch = 3, .groups = 3, .in = {13, 24}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 5, .in = {6, 12}, .taps = {3, 3}, .padding = {1}},
      {.groups = 2, .in = {1, 16}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 2, .in = {2, 8}, .taps = {3, 3}, .padding = {1}},
      {.groups = 2, .in = {119, 8}, .taps = {3, 3}, .padding = {1}},
      {.groups = 8, .in = {78, 24}, .taps = {3, 3}, .padding = {1}},
      {.groups = 4, .in = {76, 28}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.batch = 2, .groups = 2, .in = {9, 32}, .taps = {7, 7}, .padding = {3}},
  };
  // Pixels of channels: blocks of some of the channels, strips that are all there are and many.
  for (const Case& c : {
           Case{.batch = 2, .groups = 8, .in = {14, 16}, .taps = {3, 3}, .padding = {1}},
           Case{.groups = 144, .in = {6, 4}, .taps = {3, 3}, .padding = {1}},
           Case{.batch = 3, .groups = 24, .in = {2, 12}, .taps = {3, 3}, .padding = {1}},
           Case{.groups = 8, .in = {122, 8}, .taps = {3, 3}, .padding = {1}},
       }) {
    all.push_back(in_layout(c, Layout::kLast));
    all.back().stride = {2};
  }
  // Rows in shared memory: even and odd widths, odd counts of packs of channels, blocks of some of
  // them and of a part of a row, and more images than blocks.
  for (const Case& c : {
           Case{.batch = 2, .groups = 24, .in = {9, 12}},
           Case{.batch = 2, .groups = 40, .in = {7, 10}},
           Case{.batch = 3, .groups = 24, .in = {6, 7}},
           Case{.groups = 8, .in = {1, 3}},
           Case{.groups = 152, .in = {4, 8}},
           Case{.batch = 2, .groups = 72, .in = {2, 60}},
           Case{.groups = 8, .in = {90, 3}},
           Case{.batch = 3000, .groups = 8, .in = {1, 2}},
           Case{.batch = 2, .groups = 40, .in = {6, 14}, .stride = {2}},
           Case{.groups = 152, .in = {4, 12}, .stride = {2}},
           Case{.groups = 72, .in = {4, 76}, .stride = {2}},
           Case{.batch = 3000, .groups = 8, .in = {2, 2}, .stride = {2}},
       }) {
    all.push_back(in_layout(c, Layout::kLast));
    all.back().taps = {3, 3};
    all.back().padding = {1};
  }
  return all;
}

// Planes of rows in a ring of shared memory, all gradients at once: so many that a place is used
// again and again, of whole planes, several of them, and bands of rows, also of planes that begin
// and end inside of packs. A device takes those alone that fill it.
inline Cases plane_rings() {
  if (on_device()) {
    return {
        {.batch = 16, .groups = 144, .in = {56, 56}, .taps = {3, 3}, .padding = {1}},
        {.batch = 16, .groups = 96, .in = {56, 112}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
        {.batch = 32, .groups = 132, .in = {44, 52}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
        {.batch = 32, .groups = 132, .in = {56, 56}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
    };
  }
  return {
      {.batch = 5, .groups = 26, .in = {32, 40}, .taps = {3, 3}, .padding = {1}},
      {.batch = 10, .groups = 26, .in = {28, 24}, .taps = {3, 3}, .padding = {1}},
      {.groups = 30, .in = {121, 64}, .taps = {3, 3}, .padding = {1}, .bias = true},
      {.batch = 2, .groups = 26, .in = {62, 64}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 9, .groups = 26, .in = {44, 52}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 5, .groups = 30, .in = {36, 60}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 24, .in = {90, 84}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
  };
}

// Images whose channels lie next to each other, all of them in a block, by rows in a ring of shared
// memory: more steps than the ring has slots, blocks that go on in other strips, strips that are
// not whole; results that the middle of the filter does not lie on.
inline Cases last_rings() {
  Cases all = {
      {.batch = 60, .groups = 24, .in = {7, 4}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 144, .in = {19, 12}, .taps = {3, 3}, .padding = {1}, .bias = true},
      {.batch = 40, .groups = 8, .in = {14, 8}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 2, .groups = 16, .in = {38, 20}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.groups = 144, .in = {13, 22}, .taps = {3, 3}, .stride = {2}, .padding = {1}, .bias = true},
      {.batch = 3, .groups = 40, .in = {21, 27}, .taps = {5, 5}, .stride = {2}, .padding = {1}},
      {.batch = 4, .groups = 24, .in = {17, 15}, .taps = {3, 3}, .stride = {2}, .bias = true},
      {.batch = 2, .groups = 8, .in = {1, 3}, .taps = {5, 5}, .stride = {2}, .padding = {4}},
  };
  if (on_device()) {
    all.push_back({.batch = 150, .groups = 136, .in = {28, 4}, .taps = {3, 3}, .padding = {1}});
    all.push_back(
        {.batch = 340, .groups = 8, .in = {56, 8}, .taps = {3, 3}, .stride = {2}, .padding = {1}});
  }
  for (Case& c : all) c = in_layout(c, Layout::kLast);
  return all;
}

// Results at the image's edges, in tiles: images of one pixel, which are in both orders of memory,
// of one row or column, and of a few pixels; several planes to a tile; a plane of several tiles. A
// row of several blocks; packs of a row's gradients and of its neighbours'.
inline Cases edges() {
  return {
      {.batch = 2, .groups = 8, .in = {1, 1}, .taps = {3, 3}, .padding = {1}},
      {.batch = 5, .groups = 3, .in = {1, 1}, .taps = {5, 5}, .padding = {2}},
      {.groups = 3, .in = {1, 1}, .taps = {7, 7}, .padding = {3}},
      {.groups = 3, .in = {1, 1}, .taps = {3, 3}, .stride = {2}, .padding = {1}},
      {.batch = 2, .groups = 3, .in = {1, 5}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 3, .in = {5, 1}, .taps = {5, 5}, .padding = {2}},
      {.groups = 3, .in = {1, 6}, .taps = {7, 7}, .padding = {3}},
      {.batch = 2, .groups = 3, .in = {2, 2}, .taps = {3, 3}, .padding = {1}},
      {.batch = 2, .groups = 3, .in = {2, 2}, .taps = {5, 5}, .padding = {2}, .offset = 1},
      {.batch = 2, .groups = 3, .in = {2, 2}, .taps = {7, 7}, .padding = {3}},
      {.groups = 3, .in = {3, 3}, .taps = {5, 5}, .stride = {2}, .padding = {2}},
      {.batch = 3, .groups = 70, .in = {7, 7}, .taps = {3, 3}, .padding = {1}},
      {.groups = 2, .in = {97, 131}, .taps = {3, 3}, .padding = {1}},
      {.groups = 2, .in = {4200}, .taps = {4}, .padding = {3}, .offset = 1},
      {.batch = 2, .groups = 5, .in = {4}, .taps = {4}, .padding = {1}},
  };
}

// Every layout of each tensor, the others dense.
inline Cases depthwise_layouts() {
  Dice dice(12);
  Cases all;
  for (const Case& kind : depthwise_kinds()) {
    for (int i = 0; i < 3; ++i) {
      Case c = kind;
      c.src = kLayouts[dice.below(6)];
      c.weight = kLayouts[dice.below(6)];
      c.dst = kLayouts[dice.below(6)];
      c.grad_src = kLayouts[dice.below(6)];
      c.grad_weight = kLayouts[dice.below(6)];
      c.bias = dice.coin();
      c.offset = dice.pick<int64_t>({0, 1, 8});
      all.push_back(c);
    }
  }
  return all;
}

// Those of convolution that are depthwise, of one and two dimensions, every so-manieth.
inline Cases depthwise_of(const Cases& cases, size_t every) {
  Cases all;
  size_t count = 0;
  for (const Case& c : cases) {
    if (c.groups > 1 && c.channels == 1 && c.in.size() < 3 && count++ % every == 0) {
      all.push_back(c);
    }
  }
  return all;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_DEPTHWISE_CASES_H_
