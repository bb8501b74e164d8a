#include "matmul.h"

#include <iterator>

#include "cache.h"

namespace polyops::onednn {
namespace {

using Tag = dnnl::memory::format_tag;

struct Order {
  Tag tag;
  int64_t depth, columns;  // of a block
};

// a is k, b is n. By the number of it, beginning with 1.
constexpr Order kOrders[] = {
    {Tag::BA16a16b, 16, 16},   {Tag::BA16a32b, 16, 32},   {Tag::BA16a48b, 16, 48},
    {Tag::BA16a64b, 16, 64},   {Tag::BA16a16b2a, 32, 16}, {Tag::BA16a32b2a, 32, 32},
    {Tag::BA16a48b2a, 32, 48}, {Tag::BA16a64b2a, 32, 64},
};

dnnl::memory::desc rhs_desc(const MatmulKey& key, dnnl::memory::data_type type) {
  if (key.rhs_order != 0) {
    return packed_desc(key.rhs_order, static_cast<int32_t>(key.dtype), key.k, key.n);
  }
  return {{key.k, key.n}, type, dnnl::memory::dims{key.rhs_row, key.rhs_column}};
}

Step make_step(const MatmulKey& key) {
  const auto type = type_of(static_cast<int32_t>(key.dtype));
  const dnnl::memory::desc lhs({key.m, key.k}, type,
                               dnnl::memory::dims{key.lhs_row, key.lhs_column});
  const dnnl::memory::desc rhs = rhs_desc(key, type);
  const dnnl::memory::desc dst({key.m, key.n}, type, Tag::ab);
  dnnl::primitive_attr attributes = plain_attributes();
  if (key.addend == kDst) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    attributes.set_post_ops(sum);
  }
  if (key.addend == kBiasRow) {
    const dnnl::memory::desc bias({1, key.n}, type, Tag::ab);
    const dnnl::matmul::primitive_desc desc(engine(), lhs, rhs, bias, dst, attributes);
    refuse_reference(desc.impl_info_str());
    return {
        dnnl::matmul(desc),
        {{DNNL_ARG_SRC, lhs}, {DNNL_ARG_WEIGHTS, rhs}, {DNNL_ARG_DST, dst}, {DNNL_ARG_BIAS, bias}},
        desc.scratchpad_desc()};
  }
  const dnnl::matmul::primitive_desc desc(engine(), lhs, rhs, dst, attributes);
  refuse_reference(desc.impl_info_str());
  return {dnnl::matmul(desc),
          {{DNNL_ARG_SRC, lhs}, {DNNL_ARG_WEIGHTS, rhs}, {DNNL_ARG_DST, dst}},
          desc.scratchpad_desc()};
}

}  // namespace

std::shared_ptr<Step> matmul_step(const MatmulKey& key) {
  thread_local Cache<MatmulKey, Step> steps;
  return steps.get(key, [&] { return make_step(key); });
}

int64_t packed_order(int32_t dtype, int64_t k, int64_t n) {
  constexpr int64_t kRows = 64;
  const auto type = type_of(dtype);
  const dnnl::memory::desc lhs({kRows, k}, type, Tag::ab), dst({kRows, n}, type, Tag::ab),
      rhs({k, n}, type, Tag::any);
  const dnnl::matmul::primitive_desc desc(engine(), lhs, rhs, dst, plain_attributes());
  refuse_reference(desc.impl_info_str());
  const dnnl::memory::desc wanted = desc.weights_desc();
  for (size_t i = 0; i < std::size(kOrders); ++i) {
    const auto order = static_cast<int64_t>(i) + 1;
    if (packed_desc(order, dtype, k, n) == wanted) return order;
  }
  throw dnnl::error(dnnl_unimplemented, "an order that is not known here");
}

int64_t columns_of_block(int64_t order) { return kOrders[order - 1].columns; }

int64_t packed_offset(int64_t order, int64_t k, int64_t column) {
  const int64_t depth = kOrders[order - 1].depth;
  return column * ceil_div(k, depth) * depth;
}

dnnl::memory::desc packed_desc(int64_t order, int32_t dtype, int64_t k, int64_t n) {
  return {{k, n}, type_of(dtype), kOrders[order - 1].tag};
}

}  // namespace polyops::onednn
