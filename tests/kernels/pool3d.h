// What the tests of pools of three dimensions have in common: sizes, windows and layouts. What they
// share with those of two is in pool2d.h.
#ifndef POLYOPS_TESTS_KERNELS_POOL3D_H_
#define POLYOPS_TESTS_KERNELS_POOL3D_H_

#include <sstream>
#include <string>
#include <vector>

#include "polyops/ops/pool3d.h"
#include "pool2d.h"

namespace polyops::testing {

// Of depth, height and width; of one number, all three.
struct Triple {
  int64_t deep, high, wide;
  Triple(int64_t all) : deep(all), high(all), wide(all) {}  // NOLINT: so that a number is one
  Triple(int64_t d, int64_t h, int64_t w) : deep(d), high(h), wide(w) {}

  std::string describe() const {
    return std::to_string(deep) + " " + std::to_string(high) + " " + std::to_string(wide);
  }
};

struct Pool3dCase {
  Sizes sizes;
  Triple size, stride, padding = 0, dilation = 1;
  bool ceil = false;
  int64_t offset = 0;  // of all tensors

  polyops_pool3d_window window() const {
    return {{size.deep, size.high, size.wide},
            {stride.deep, stride.high, stride.wide},
            {padding.deep, padding.high, padding.wide},
            {dilation.deep, dilation.high, dilation.wide}};
  }
  // As torch counts windows.
  Sizes results() const {
    const polyops_pool3d_window w = window();
    Sizes all = sizes;
    for (int d = 0; d < 3; ++d) {
      const int64_t n = sizes[2 + d], reach = (w.size[d] - 1) * w.dilation[d] + 1;
      const int64_t more = ceil ? w.stride[d] - 1 : 0;
      all[2 + d] = (n + 2 * w.padding[d] - reach + more) / w.stride[d] + 1;
      if (ceil && (all[2 + d] - 1) * w.stride[d] >= n + w.padding[d]) --all[2 + d];
    }
    return all;
  }
  std::string describe() const {
    std::ostringstream text;
    for (int64_t n : sizes) text << n << " ";
    text << "size " << size.describe() << " stride " << stride.describe() << " padding "
         << padding.describe() << " dilation " << dilation.describe() << (ceil ? " ceil" : "")
         << " offset " << offset;
    return text.str();
  }
};

inline Sizes layout_strides_3d(const Sizes& sizes, bool last) {
  return last ? permuted_strides(sizes, {0, 2, 3, 4, 1}) : Sizes();
}

// Windows that kernels are made for, at every place of an image's edges; and any others.
inline std::vector<Pool3dCase> pool3d_cases() {
  std::vector<Pool3dCase> cases;
  for (const Triple image : {Triple(2, 3, 4), Triple(5), Triple(4, 6, 7)}) {
    for (const int64_t channels : {3, 16}) {
      const Sizes s = {2, channels, image.deep, image.high, image.wide};
      cases.push_back({s, 2, 2});
      cases.push_back({s, 2, 2, 1, 1, true});
      if (image.deep < 3) continue;
      cases.push_back({s, 3, 2, 1});
      cases.push_back({s, 3, 1, 1});
      cases.push_back({s, 3, 2, 0, 1, true});
    }
  }
  for (const Sizes& s : {Sizes{2, 3, 6, 5, 9}, Sizes{1, 8, 6, 5, 9}}) {
    cases.push_back({s, {1, 2, 2}, {1, 2, 2}});
    cases.push_back({s, {2, 3, 1}, {1, 2, 3}, {1, 1, 0}});
    cases.push_back({s, {2, 1, 3}, {3, 1, 2}, {0, 0, 1}, 1, true});
    cases.push_back({s, {6, 5, 9}, 1});
    cases.push_back({s, 1, 1});
    cases.push_back({s, 2, 3});
    cases.push_back({s, 3, 2, 1, 1, false, 1});
    cases.push_back({s, 2, 2, 0, 1, false, 3});
  }
  cases.push_back({{1, 1, 70, 3, 5}, {3, 1, 2}, {1, 2, 2}, {1, 0, 0}});
  cases.push_back({{1, 2, 3, 4, 70}, {2, 2, 3}, {1, 2, 2}, {0, 1, 1}});
  for (const int64_t wide : {6, 12, 16, 24, 7}) {  // windows side by side
    cases.push_back({{1, 3, 4, 5, wide}, 2, 2});
    cases.push_back({{1, 3, 5, 4, wide}, {3, 2, 2}, {3, 2, 2}});
    cases.push_back({{1, 3, 4, 4, wide}, {2, 2, 4}, {2, 2, 4}, 0, 1, true});
  }
  for (const int64_t wide : {8, 12}) {  // rows of whole packs
    const Sizes s = {1, 2, 4, 5, wide};
    for (const int64_t stride : {1, 2}) {
      cases.push_back({s, 3, stride, 1});
      cases.push_back({s, 3, stride, 1, 1, true});
      cases.push_back({s, {2, 3, 3}, {1, stride, stride}, {1, 1, 1}});
      cases.push_back({s, {4, 3, 3}, {1, stride, stride}, {2, 1, 1}});
    }
    cases.push_back({s, {3, 1, 1}, {2, 1, 1}, {1, 0, 0}});
    cases.push_back({s, {3, 1, 1}, 1, {1, 0, 0}});
    cases.push_back({s, {4, 1, 1}, 1});
    cases.push_back({s, {3, 2, 2}, {1, 2, 2}, {1, 0, 0}});
    cases.push_back({s, {2, 4, 3}, {1, 2, 2}, {0, 2, 1}, 1, true});
  }
  cases.push_back({{1, 1, 3, 150, 16}, 3, 1, 1});  // several rows to a thread
  cases.push_back({{1, 1, 3, 151, 16}, 3, 2, 1});
  return cases;
}

// Dilated ones are of max_pool3d alone.
inline std::vector<Pool3dCase> dilated_3d_cases() {
  std::vector<Pool3dCase> cases;
  for (const Sizes& s : {Sizes{2, 3, 6, 7, 9}, Sizes{1, 16, 6, 7, 9}}) {
    cases.push_back({s, 3, 1, 0, 2});
    cases.push_back({s, 3, 2, 1, {2, 2, 3}});
    cases.push_back({s, {2, 2, 1}, 2, {1, 1, 0}, {4, 3, 2}, true});
  }
  return cases;
}

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_POOL3D_H_
