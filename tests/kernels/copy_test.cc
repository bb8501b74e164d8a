// copy: every kernel against the reference. Bits are copied, so all is exact.
#include "reference/copy.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT64, POLYOPS_UINT8};

using Sizes = std::vector<int64_t>;

struct Case {
  std::string name;
  Sizes sizes;
  Sizes src_strides = {};  // none: contiguous
  Sizes dst_strides = {};
  int64_t src_offset = 0;
  int64_t dst_offset = 0;
};

// A dimension more than what a tile of any element size has, its ends, and packs.
std::vector<Case> turned_cases() {
  std::vector<Case> cases = {
      {"whole tiles", {64, 128}, {1, 64}},
      {"packs, no tiles", {80, 48}, {1, 80}},
      {"several tiles", {160, 272}, {1, 160}},
      {"odd", {67, 131}, {1, 67}},
      {"odd rows of the source", {65, 64}, {1, 65}},
      {"odd rows of the result", {64, 131}, {1, 64}},
      {"a result longer than tiles", {20, 1031}, {1, 20}},
      {"a source longer than tiles", {1031, 20}, {1, 1031}},
      {"few rows", {16, 517}, {1, 16}},
      {"few columns", {517, 16}, {1, 517}},
      {"padded source", {70, 33}, {1, 75}},
      {"padded result", {33, 70}, {1, 33}, {80, 1}},
      {"both padded", {32, 64}, {1, 48}, {80, 1}},
      {"from columns", {40, 64}, {}, {1, 40}},
      {"batches", {3, 40, 33}, {40 * 33, 1, 40}},
      {"two dimensions of batches", {2, 3, 40, 32}, {3840, 1280, 1, 40}},
      {"expanded batches", {3, 40, 32}, {0, 1, 40}},
      {"to channels_last", {2, 32, 5, 7}, {}, {32 * 35, 1, 7 * 32, 32}},
      {"of channels_last", {2, 33, 7, 7}, {33 * 49, 1, 7 * 33, 33}},
      {"heads to the front", {2, 33, 3, 40}, {}, {33 * 120, 1, 33 * 40, 33}},
      {"the source is turned and expanded", {40, 48}, {1, 0}},
  };
  for (int64_t from : {0, 1, 3, 4, 7, 8}) {
    for (int64_t to : {0, 1, 4, 5, 8}) {
      cases.push_back({"alignment", {70, 66}, {1, 72}, {72, 1}, from, to});
    }
  }
  return cases;
}

std::vector<Case> row_cases() {
  return {
      {"aligned rows", {6, 64}, {96, 1}},
      {"short aligned rows", {50, 16}, {32, 1}},
      {"odd rows", {6, 129}, {140, 1}, {}, 1},
      {"shifted by one", {9, 127}, {128, 1}, {}, 1},
      {"several chunks", {5, 1101}, {1103, 1}, {1105, 1}, 1, 2},
      {"several aligned chunks", {3, 1088}, {1104, 1}},
      {"chunks of few lanes", {7, 170}, {171, 1}},
      {"to a wider tensor", {9, 127}, {}, {130, 1}, 0, 1},
      {"heads", {2, 9, 3, 32}, {}, {864, 32, 288, 1}},
      {"expanded rows", {5, 200}, {0, 1}},
      {"rank 8", {2, 1, 2, 3, 2, 3, 2, 40}, {4000, 4000, 2000, 640, 320, 100, 50, 1}},
      {"short rows of a result with gaps", {7, 5}, {6, 1}, {9, 1}},
  };
}

std::vector<Case> gathered_cases() {
  return {
      {"step 2", {5, 300}, {600, 2}},
      {"step 2, one row", {1021}, {2}, {}, 1, 1},
      {"three channels to channels_last", {2, 3, 9, 31}, {}, {837, 1, 93, 3}},
      {"three channels of channels_last", {2, 3, 9, 31}, {837, 1, 93, 3}},
      {"three channels of channels_last, one image", {3, 40, 231}, {1, 693, 3}},
      {"four channels of many runs, odd", {2, 4, 9001}, {36004, 1, 4}, {36012, 9003, 1}, 0, 1},
      {"three channels to channels_last, odd",
       {2, 3, 33, 31},
       {3100, 1027, 31, 1},
       {3072, 1, 93, 3},
       1,
       2},
      {"three channels to channels_last, long", {3, 100, 91}, {}, {1, 273, 3}},
      {"few pixels from channels_last", {2, 299, 49}, {14651, 1, 299}, {}, 0, 3},
      {"hundreds of pixels from channels_last", {2, 299, 197}, {58903, 1, 299}, {}, 0, 3},
      {"as many as there may be", {1, 270, 255}, {68850, 1, 270}},
      {"short rows", {200, 5}, {6, 1}},
      {"pairs turned over", {33, 40, 2}, {2, 66, 1}},
      {"pairs at odd places", {33, 40, 2}, {2, 66, 1}, {}, 1},
      {"pairs to pairs with gaps", {9, 40, 2}, {2, 20, 1}, {161, 4, 1}},
      {"pairs of a result with gaps", {40, 2}, {3, 1}, {6, 1}},
      {"fours turned over", {17, 20, 4}, {4, 68, 1}},
      {"eights turned over", {17, 20, 8}, {8, 136, 1}},
      {"small tables", {40, 3, 5}, {15, 1, 3}, {}, 0, 3},
      {"expanded last", {60, 11}, {1, 0}},
      {"expanded scalar", {60, 11}, {0, 0}},
      {"rank 8", {2, 3, 2, 3, 2, 3, 2, 3}, {1, 2, 6, 12, 36, 72, 216, 432}},
      {"pixel shuffle", {2, 3, 2, 2, 5, 11}, {}, {660, 220, 22, 1, 44, 2}},
  };
}

// Two to four rows of whole packs, put together and taken apart.
std::vector<Case> few_cases() {
  std::vector<Case> cases = {
      {"images with gaps to channels_last", {2, 3, 40, 56}, {6800, 2256, 56, 1}, {6720, 1, 168, 3}},
      {"of channels_last to images with gaps",
       {2, 3, 40, 56},
       {6720, 1, 168, 3},
       {6800, 2256, 56, 1}},
      {"pixel shuffle of packs", {2, 3, 2, 2, 4, 64}, {}, {3072, 1024, 128, 1, 256, 2}},
      {"pixel unshuffle of packs", {2, 3, 2, 2, 4, 64}, {3072, 1024, 128, 1, 256, 2}},
      {"pixel shuffle of short rows", {2, 3, 2, 2, 4, 16}, {}, {768, 256, 32, 1, 64, 2}},
      {"other batches than the run's", {2, 5, 3, 64}, {192, 384, 1, 3}},
  };
  for (int64_t few : {2, 3, 4, 5}) {
    const int64_t all = few * 2064;
    cases.push_back({"few to channels_last", {2, few, 2064}, {}, {all, 1, few}});
    cases.push_back({"few of channels_last", {2, few, 2064}, {all, 1, few}});
  }
  cases.push_back({"few that begin elsewhere", {2, 3, 272}, {}, {816, 1, 3}, 1});
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> all = turned_cases();
  for (const auto& part : {row_cases(), gathered_cases(), few_cases()}) {
    all.insert(all.end(), part.begin(), part.end());
  }
  return all;
}

// False where a kernel leaves the case to stock.
bool run_everywhere(const Case& c, int32_t dtype) {
  Buffer src(dtype, c.sizes, c.src_strides, c.src_offset);
  src.fill([](int64_t i) { return i % 251; });
  const Buffer expected(dtype, c.sizes, c.dst_strides, c.dst_offset);
  polyops_copy_args args = {sizeof args, 0, src.view(), expected.view()};
  reference::copy(args);
  for (const polyops_kernel* kernel : kernels_of("copy")) {
    SCOPED_TRACE(kernel->name);
    const Buffer dst(dtype, c.sizes, c.dst_strides, c.dst_offset);
    args.dst = dst.without_data();
    if (kernel->supports(&args) != nullptr) return false;
    args.dst = dst.view();
    EXPECT_EQ(launch(*kernel, &args), POLYOPS_OK) << last_error();
    EXPECT_EQ(dst.values(), expected.values());
    EXPECT_TRUE(dst.guards_intact());
  }
  return true;
}

TEST(Copy, CopiesEveryElement) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) {
      SCOPED_TRACE(c.name + " " + polyops_dtype_name(dtype));
      ASSERT_TRUE(run_everywhere(c, dtype));
      ASSERT_FALSE(HasFailure());
    }
  }
}

// Dimensions in any order in memory, with a gap here and there.
Sizes any_strides(const Sizes& sizes, std::mt19937* random) {
  std::vector<size_t> order(sizes.size());
  std::iota(order.begin(), order.end(), 0);
  std::shuffle(order.begin(), order.end(), *random);
  Sizes strides(sizes.size());
  int64_t step = 1;
  for (const size_t d : order) {
    strides[d] = step;
    step *= sizes[d];
    if ((*random)() % 4 == 0) step += static_cast<int64_t>((*random)() % 9);
  }
  return strides;
}

TEST(Copy, CopiesBetweenAnyLayouts) {
  constexpr int64_t kSizes[] = {1, 2, 3, 4, 5, 7, 8, 16, 17, 32, 33, 49, 64, 100, 260, 300};
  std::mt19937 random(1);
  int taken = 0;
  for (int i = 0; i < 100; ++i) {
    Case c = {"", {1}};
    for (int rank = 1 + i % 5; rank > 0; --rank) {
      const int64_t size = kSizes[random() % std::size(kSizes)];
      c.sizes.push_back(size);
    }
    while (std::accumulate(c.sizes.begin(), c.sizes.end(), int64_t{1}, std::multiplies<>()) >
           9000) {
      int64_t& largest = *std::max_element(c.sizes.begin(), c.sizes.end());
      largest = largest / 3;
    }
    c.src_strides = any_strides(c.sizes, &random);
    c.dst_strides = any_strides(c.sizes, &random);
    c.src_offset = static_cast<int64_t>(random() % 3);
    c.dst_offset = static_cast<int64_t>(random() % 3);
    const int32_t dtype = kDtypes[random() % std::size(kDtypes)];
    SCOPED_TRACE(::testing::PrintToString(c.sizes) + ::testing::PrintToString(c.src_strides) +
                 ::testing::PrintToString(c.dst_strides) + polyops_dtype_name(dtype));
    taken += run_everywhere(c, dtype);
    ASSERT_FALSE(HasFailure());
  }
  EXPECT_GT(taken, 30);
}

std::string reason(const polyops_tensor& src, const polyops_tensor& dst) {
  const polyops_copy_args args = {sizeof args, 0, src, dst};
  const char* said = kernels_of("copy")[0]->supports(&args);
  return said == nullptr ? "" : said;
}

polyops_tensor view(int32_t dtype, const Sizes& sizes, const Sizes& strides = {}) {
  return Buffer(dtype, sizes, strides).without_data();
}

TEST(Copy, Declines) {
  const int32_t f32 = POLYOPS_FLOAT32;
  const polyops_tensor table = view(f32, {40, 60}), turned = view(f32, {40, 60}, {1, 40});
  EXPECT_EQ(reason(turned, table), "");
  EXPECT_EQ(reason(table, table), "one run of memory");
  EXPECT_EQ(reason(turned, turned), "one run of memory");
  EXPECT_EQ(reason(view(f32, {1, 60}), view(f32, {1, 60}, {99, 1})), "one run of memory");
  EXPECT_EQ(reason(view(f32, {}), view(f32, {})), "one run of memory");
  EXPECT_EQ(reason(view(POLYOPS_BFLOAT16, {40, 60}), turned), "dtype");
  EXPECT_EQ(reason(view(POLYOPS_INVALID_DTYPE, {40, 60}), turned), "dtype");
  EXPECT_EQ(reason(view(f32, {60, 40}), turned), "shape");
  EXPECT_EQ(reason(view(f32, {1, 40, 60}), turned), "shape");
  EXPECT_EQ(reason(table, view(f32, {40, 60}, {0, 1})), "dst overlaps itself");
  EXPECT_EQ(reason(table, view(f32, {40, 60}, {120, 2})), "layout");
  polyops_tensor large = table, large_turned = turned;
  large.sizes[0] = large_turned.sizes[0] = int64_t{1} << 30;
  EXPECT_EQ(reason(large_turned, large), "size");
}

}  // namespace
}  // namespace polyops::testing
