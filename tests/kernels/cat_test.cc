// cat: every kernel against the reference. Bits are copied, so all is exact.
#include "reference/cat.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "harness.h"

namespace polyops::testing {
namespace {

constexpr int32_t kDtypes[] = {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16,
                               POLYOPS_FLOAT64, POLYOPS_INT64,    POLYOPS_UINT8};

using Sizes = std::vector<int64_t>;

struct Input {
  Sizes sizes;
  Sizes strides = {};
  int64_t offset = 0;
};

struct Case {
  std::string name;
  int dim;
  std::vector<Input> inputs;
  Sizes dst_strides = {};
  int64_t dst_offset = 0;
};

Sizes channels_last(const Sizes& sizes) { return permuted_strides(sizes, {0, 2, 3, 1}); }

Sizes result_sizes(const Case& c) {
  Sizes sizes = c.inputs[0].sizes;
  sizes[c.dim] = 0;
  for (const Input& input : c.inputs) sizes[c.dim] += input.sizes[c.dim];
  return sizes;
}

// As the network's stages grow, or one column from each.
std::vector<Input> many(int count, Sizes sizes, int dim, int64_t most) {
  std::vector<Input> inputs;
  for (int i = 0; i < count; ++i) {
    sizes[dim] = 1 + i % most;
    inputs.push_back({sizes, {}, i % 3});
  }
  return inputs;
}

std::vector<Case> plain_cases() {
  std::vector<Case> cases = {
      {"one element", 0, {{{1}}, {{1}}}},
      {"one input", 1, {{{3, 5}}}},
      {"rows", 0, {{{3, 40}}, {{1, 40}}, {{5, 40}}}},
      {"aligned runs", 1, {{{3, 64}}, {{3, 32}}}},
      {"heads", 2, {{{2, 3, 7, 64}}, {{2, 3, 1, 64}}}},
      {"odd runs", 1, {{{3, 1025}}, {{3, 1023}}}},
      {"odd runs, long", 1, {{{2, 9001}}, {{2, 2}}, {{2, 300}}}},
      {"middle", 1, {{{2, 3, 50}}, {{2, 5, 50}}}},
      {"columns", 1, {{{40, 1}}, {{40, 1}}, {{40, 3}}, {{40, 2}}}},
      {"rank 8", 5, {{{2, 1, 2, 1, 2, 3, 2, 3}}, {{2, 1, 2, 1, 2, 1, 2, 3}}}},
      {"several blocks", 0, {{{5000}}, {{12001}}}},
      {"pairs", 1, {{{48, 1}}, {{48, 1}}}},
      {"pairs, packs left over", 1, {{{5001, 1}}, {{5001, 1}}}},
      {"pairs of several blocks", 1, {{{5008, 1}}, {{5008, 1}}}},
      {"pairs that begin elsewhere", 1, {{{48, 1}, {}, 1}, {{48, 1}}}},
      {"fours", 1, {{{40, 1}}, {{40, 1}}, {{40, 1}}, {{40, 1}}}},
  };
  for (int64_t n : {1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 33, 47, 48, 49, 63, 65}) {
    cases.push_back({"short runs", 1, {{{5, n}}, {{5, n + 1}}}});
  }
  for (int64_t from : {0, 1, 2, 3, 5, 7, 8, 12, 15}) {
    for (int64_t to : {0, 1, 4, 6, 11}) {
      cases.push_back({"alignment", 1, {{{3, 96}, {}, from}, {{3, 61}, {}, from + to}}, {}, to});
    }
  }
  cases.push_back({"many", 1, many(100, {2, 1, 3}, 1, 5)});
  cases.push_back({"many columns", 1, many(90, {7, 1}, 1, 1)});
  return cases;
}

std::vector<Case> strided_cases() {
  const Sizes wide = {2, 20, 3, 5}, narrow = {2, 12, 3, 5}, both = {2, 32, 3, 5};
  const Sizes cropped = {300, 15, 5, 1};
  std::vector<Case> cases = {
      {"channels_last",
       1,
       {{wide, channels_last(wide)}, {narrow, channels_last(narrow)}},
       channels_last(both)},
      {"to channels_last", 1, {{wide}, {narrow, channels_last(narrow)}}, channels_last(both)},
      {"of channels_last", 1, {{wide, channels_last(wide)}, {narrow}}},
      {"padded", 1, {{{6, 33}, {40, 1}, 1}, {{6, 70}, {80, 1}}}},
      {"padded result", 1, {{{6, 33}}, {{6, 70}}}, {120, 1}, 3},
      {"transposed", 0, {{{20, 30}, {1, 20}}, {{7, 30}}}},
      {"every other", 1, {{{5, 33}, {66, 2}}, {{5, 4}}}},
      {"pairs of every other", 1, {{{48, 1}, {2, 1}, 1}, {{48, 1}}}},
      {"fours of every third", 1, {{{16, 1}, {3, 1}}, {{16, 1}}, {{16, 1}}, {{16, 1}, {0, 1}}}},
      {"every other of the result", 1, {{{5, 33}}, {{5, 4}}}, {80, 2}},
      {"two, every other of the result", 0, {{{48}}, {{48}}}, {2}},
      {"four, every fourth of the result", 0, {{{16}}, {{16}}, {{4}}, {{16}}}, {4}},
      {"expanded", 0, {{{4, 50}, {0, 1}}, {{2, 50}, {1, 0}}}},
      {"cropped", 1, {{{2, 20, 3, 4}, cropped, 1}, {{2, 3, 3, 4}}}},
      {"three levels", 2, {{{3, 4, 5, 20}, {1000, 240, 40, 1}}, {{3, 4, 2, 20}}}},
  };
  Case deep = {"many of rank 6", 1, {}};
  for (int i = 0; i < 30; ++i) {
    deep.inputs.push_back({{2, 1 + i % 2, 2, 3, 2, 3}, {400, 200, 70, 20, 7, 2}});
  }
  cases.push_back(deep);
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> all = plain_cases();
  const std::vector<Case> strided = strided_cases();
  all.insert(all.end(), strided.begin(), strided.end());
  return all;
}

// Buffers of a call, the first of which tells an input from the others.
struct Call {
  std::vector<Buffer> srcs;
  std::vector<polyops_tensor> views;
  polyops_cat_args args;

  Call(const Case& c, int32_t dtype) : args{sizeof args, c.dim, 0, nullptr, {}} {
    for (const Input& input : c.inputs) {
      srcs.emplace_back(dtype, input.sizes, input.strides, input.offset);
      const auto number = static_cast<int64_t>(srcs.size());
      srcs.back().fill([&](int64_t i) { return (i * 7 + number * 31) % 251; });
    }
    for (const Buffer& src : srcs) views.push_back(src.view());
    args.count = static_cast<int64_t>(views.size());
    args.srcs = views.data();
  }
};

void expect_every_element(const Case& c, int32_t dtype) {
  SCOPED_TRACE(c.name + " " + polyops_dtype_name(dtype) + " " +
               ::testing::PrintToString(c.inputs[0].sizes));
  Call call(c, dtype);
  Buffer expected(dtype, result_sizes(c), c.dst_strides, c.dst_offset);
  call.args.dst = expected.view();
  reference::cat(call.args);
  for (const polyops_kernel* kernel : kernels_of("cat")) {
    SCOPED_TRACE(kernel->name);
    const Buffer dst(dtype, result_sizes(c), c.dst_strides, c.dst_offset);
    call.args.dst = dst.without_data();
    ASSERT_EQ(kernel->supports(&call.args), nullptr);
    call.args.dst = dst.view();
    ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK) << last_error();
    ASSERT_EQ(dst.values(), expected.values());
    ASSERT_TRUE(dst.guards_intact());
  }
}

TEST(Cat, CopiesEveryElement) {
  for (const Case& c : all_cases()) {
    for (int32_t dtype : kDtypes) ASSERT_NO_FATAL_FAILURE(expect_every_element(c, dtype));
  }
}

// Inputs large enough for a launch of their own, before, between and behind others.
TEST(Cat, TurnsLargeInputsOver) {
  const Input turned = {{600, 450}, {1, 600}}, small = {{7, 450}};
  const std::vector<Case> cases = {
      {"first", 0, {turned, small}},
      {"last", 0, {small, turned}},
      {"between, at odd places", 1, {{{600, 3}}, turned, {{600, 5}}}, {460, 1}, 1}};
  for (const Case& c : cases) {
    ASSERT_NO_FATAL_FAILURE(expect_every_element(c, POLYOPS_FLOAT64));
  }
}

TEST(Cat, CopiesLargeInputsOfOddRows) {
  // Four of them to a launch, and one for those behind an input with gaps within its rows, of which
  // there are more; between others.
  const Input few = {{3, 5, 135}}, odd = {{3, 701, 135}}, odder = {{3, 703, 135}},
              gaps = {{3, 701, 135}, {701 * 136, 136, 1}};
  const Case c = {"most", 1, {few, odd, odder, few, odd, odder, odd, gaps, odder, odd}};
  ASSERT_NO_FATAL_FAILURE(expect_every_element(c, POLYOPS_FLOAT64));
}

TEST(Cat, CopiesBits) {
  const double values[] = {std::nan(""), HUGE_VAL, -HUGE_VAL, -0.0, 1e-40, 3e38, 65504};
  for (int32_t dtype : {POLYOPS_FLOAT32, POLYOPS_BFLOAT16, POLYOPS_FLOAT16}) {
    Call call({"", 0, {{{40}}, {{33}, {}, 1}}}, dtype);
    for (Buffer& src : call.srcs) src.fill([&](int64_t i) { return values[i % 7]; });
    for (const polyops_kernel* kernel : kernels_of("cat")) {
      const Buffer dst(dtype, {73});
      call.args.dst = dst.view();
      ASSERT_EQ(launch(*kernel, &call.args), POLYOPS_OK);
      for (int64_t i = 0; i < 73; ++i) {
        const double got = dst.get(i),
                     put = i < 40 ? call.srcs[0].get(i) : call.srcs[1].get(i - 40);
        ASSERT_TRUE(got == put || (std::isnan(got) && std::isnan(put))) << i;
        ASSERT_EQ(std::signbit(got), std::signbit(put)) << i;
      }
    }
  }
}

TEST(Cat, DeclinesWhatDoesNotFit) {
  Call call({"", 0, {{{4, 3}}, {{2, 3}}}}, POLYOPS_FLOAT32);
  const auto reason = [&](const Sizes& dst, int32_t dtype) {
    call.args.dst = Buffer(dtype, dst).without_data();
    const char* said = kernels_of("cat")[0]->supports(&call.args);
    return std::string(said == nullptr ? "" : said);
  };
  EXPECT_EQ(reason({6, 3}, POLYOPS_FLOAT32), "");
  EXPECT_EQ(reason({7, 3}, POLYOPS_FLOAT32), "shape");
  EXPECT_EQ(reason({6, 4}, POLYOPS_FLOAT32), "shape");
  EXPECT_EQ(reason({6, 3, 1}, POLYOPS_FLOAT32), "shape");
  EXPECT_EQ(reason({6, 3}, POLYOPS_FLOAT16), "dtype");
  call.args.dst.dtype = call.views[0].dtype = call.views[1].dtype = POLYOPS_INVALID_DTYPE;
  EXPECT_STREQ(kernels_of("cat")[0]->supports(&call.args), "dtype");
  for (polyops_tensor* t : {&call.args.dst, &call.views[0], &call.views[1]}) {
    t->dtype = POLYOPS_FLOAT32;
    t->rank = 2;
    t->sizes[1] = int64_t{1} << 30;
  }
  call.args.dst.sizes[0] = 6;
  EXPECT_STREQ(kernels_of("cat")[0]->supports(&call.args), "size");
}

}  // namespace
}  // namespace polyops::testing
