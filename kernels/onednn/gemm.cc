// gemm, gemm_pack and gemm_prepacked. Every matrix of the batch is cut into rows and columns, as
// many parts as there are threads; each part is a product of its own (matmul.h). A dst that lies in
// columns is computed transposed; a part of it that is not dense, in scratch. An addend that is no
// bias is copied to where the result will be, and oneDNN adds to that.
#include "polyops/ops/gemm.h"

#include <algorithm>

#include "matmul.h"
#include "product.h"
#include "runtime.h"
#include "table.h"

namespace polyops::onednn {
namespace {

// Compared by address.
constexpr char kBlocks[] = "oneDNN's blocks of columns";

// What stands before the packed matrix.
struct alignas(64) PackHeader {
  int64_t order;
};

MatmulKey key_of(const Product& p, const Part& part) {
  const bool packed = p.rhs_order != 0;
  return {p.dtype,     part.rows,    part.columns,           p.k,
          p.lhs.row,   p.lhs.column, packed ? 0 : p.rhs.row, packed ? 0 : p.rhs.column,
          p.rhs_order, p.adds};
}

char* at(const Product& p, const Matrix& matrix, const Part& part, int64_t row, int64_t column) {
  return matrix.data +
         p.width() * (part.batch * matrix.batch + row * matrix.row + column * matrix.column);
}

// Where a part's columns of rhs begin.
const char* rhs_at(const Product& p, const Part& part) {
  if (p.rhs_order == 0) return at(p, p.rhs, part, 0, part.column);
  return p.rhs.data + p.width() * packed_offset(p.rhs_order, p.k, part.column);
}

// Whether the part's result is computed elsewhere than in dst.
bool is_copied(const Product& p, const Part& part) {
  return part.rows > 1 && p.dst.row != part.columns;
}

template <class Element>
void copy_elements(const Part& part, const char* from, int64_t from_row, int64_t from_column,
                   char* to, int64_t to_row) {
  for (int64_t i = 0; i < part.rows; ++i) {
    const auto* row = reinterpret_cast<const Element*>(from) + i * from_row;
    auto* target = reinterpret_cast<Element*>(to) + i * to_row;
    for (int64_t j = 0; j < part.columns; ++j) target[j] = row[j * from_column];
  }
}

void copy(const Product& p, const Part& part, const char* from, int64_t from_row,
          int64_t from_column, char* to, int64_t to_row) {
  const auto copier = p.width() == 2 ? copy_elements<uint16_t> : copy_elements<uint32_t>;
  copier(part, from, from_row, from_column, to, to_row);
}

// scratch: the result, if it is copied, and then a scratchpad.
void compute(const Product& p, const Part& part, char* scratch, size_t result_bytes) {
  char* const dst = at(p, p.dst, part, part.row, part.column);
  const bool copied = is_copied(p, part);
  char* const made = copied ? scratch : dst;
  if (p.adds == kDst && (copied || p.addend.data != p.dst.data)) {
    copy(p, part, at(p, p.addend, part, part.row, part.column), p.addend.row, p.addend.column, made,
         part.columns);
  }
  const char* lhs = at(p, p.lhs, part, part.row, 0);
  const char* rhs = rhs_at(p, part);
  const auto step = matmul_step(key_of(p, part));
  if (p.adds == kBiasRow) {
    step->run({lhs, rhs, made, at(p, p.addend, part, 0, part.column)}, scratch + result_bytes);
  } else {
    step->run({lhs, rhs, made}, scratch + result_bytes);
  }
  if (copied) copy(p, part, made, part.columns, 1, dst, p.dst.row);
}

// Of each thread.
struct Needs {
  size_t result = 0, scratchpad = 0;

  size_t bytes() const { return result + scratchpad; }
};

// Makes the primitives of all kinds of parts, or throws while nothing is written yet.
Needs prepare(const Product& p, const Cut& cut) {
  const OneThread alone;
  Needs needs;
  for (const int64_t i : {int64_t{0}, cut.row_parts - 1}) {
    for (const int64_t j : {int64_t{0}, cut.column_parts - 1}) {
      const Part part = part_of(p, cut, i * cut.column_parts + j);
      const size_t result = is_copied(p, part) ? part.rows * part.columns * p.width() : 0;
      needs.result = std::max(needs.result, to_cache_lines(result));
      const size_t scratchpad = matmul_step(key_of(p, part))->scratchpad_bytes();
      needs.scratchpad = std::max(needs.scratchpad, to_cache_lines(scratchpad));
    }
  }
  return needs;
}

size_t scratch_of(const Product& p, int32_t threads) {
  size_t bytes = 0;
  translated([&] {
    bytes = prepare(p, choose_cut(p, threads)).bytes() * threads;
    return static_cast<int>(POLYOPS_OK);
  });
  return bytes;  // launch comes to the same end
}

int run(const Product& p, const polyops_context* ctx) {
  const Cut cut = choose_cut(p, ctx->num_threads);
  Needs needs;
  const int prepared = translated([&] {
    needs = prepare(p, cut);
    return static_cast<int>(POLYOPS_OK);
  });
  if (prepared != POLYOPS_OK) return prepared;
  if (needs.bytes() > 0 && ctx->scratch == nullptr) return POLYOPS_DECLINED;
  auto* scratch = static_cast<char*>(ctx->scratch);
  const int64_t grain = grain_of(static_cast<double>(cut.rows) * cut.columns * p.k);
  return for_each_unit(ctx, p.batch * cut.parts(), grain, [&](int64_t unit, int32_t thread) {
    compute(p, part_of(p, cut, unit), scratch + thread * needs.bytes(), needs.result);
  });
}

const char* supports(const void* data) {
  Product p;
  return read(*static_cast<const polyops_gemm_args*>(data), false, &p);
}

size_t scratch_bytes(const void* data, int32_t threads) {
  Product p;
  read(*static_cast<const polyops_gemm_args*>(data), false, &p);
  return scratch_of(p, threads);
}

int launch(const void* data, const polyops_context* ctx) {
  Product p;
  read(*static_cast<const polyops_gemm_args*>(data), false, &p);
  return run(p, ctx);
}

const char* supports_pack(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_pack_args*>(data);
  if (type_of(args.rhs.dtype) == dnnl::memory::data_type::undef) return "dtype";
  Matrix rhs = matrix_of(args.rhs);
  return settle(args.rhs.sizes[1], args.rhs.sizes[2], &rhs) ? nullptr : "layout";
}

// Columns are cut between blocks, which lie one behind the other.
int pack_columns(const polyops_gemm_pack_args& args, int64_t order, const polyops_context* ctx) {
  const int32_t dtype = args.rhs.dtype;
  const int64_t k = args.rhs.sizes[1], n = args.rhs.sizes[2], width = polyops_dtype_size(dtype);
  Matrix rhs = matrix_of(args.rhs);
  settle(k, n, &rhs);
  auto* header = static_cast<PackHeader*>(args.pack->data);
  header->order = order;
  auto* packed = reinterpret_cast<char*>(header + 1);
  const int64_t columns = 4 * columns_of_block(order);
  return for_each_unit(ctx, ceil_div(n, columns), 1, [&](int64_t unit, int32_t) {
    const int64_t first = unit * columns, count = std::min(columns, n - first);
    const dnnl::memory::desc from({k, count}, type_of(dtype),
                                  dnnl::memory::dims{rhs.row, rhs.column});
    Step step = reorder_step(from, packed_desc(order, dtype, k, count), dnnl::primitive_attr());
    step.run(
        {rhs.data + first * rhs.column * width, packed + packed_offset(order, k, first) * width},
        nullptr);
  });
}

int launch_pack(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_gemm_pack_args*>(data);
  const int64_t k = args.rhs.sizes[1], n = args.rhs.sizes[2];
  return translated([&] {
    int64_t order = 0;
    {
      const OneThread alone;
      order = packed_order(args.rhs.dtype, k, n);
    }
    args.pack->format = kBlocks;
    if (args.pack->data != nullptr) return pack_columns(args, order, ctx);
    const size_t bytes = sizeof(PackHeader) + packed_desc(order, args.rhs.dtype, k, n).get_size();
    args.pack->bytes = static_cast<int64_t>(bytes);
    return static_cast<int>(POLYOPS_OK);
  });
}

const char* supports_prepacked(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_prepacked_args*>(data);
  if (args.pack->format != kBlocks) return "packed for another kernel";
  if (args.gemm->dst.sizes[0] != 1) return "batch";
  Product p;
  return read(*args.gemm, true, &p);
}

Product prepacked_product(const void* data) {
  const auto& args = *static_cast<const polyops_gemm_prepacked_args*>(data);
  Product p;
  read(*args.gemm, true, &p);
  auto* header = static_cast<PackHeader*>(args.pack->data);
  p.rhs_order = header->order;
  p.rhs.data = reinterpret_cast<char*>(header + 1);
  return p;
}

size_t scratch_bytes_prepacked(const void* data, int32_t threads) {
  return scratch_of(prepacked_product(data), threads);
}

int launch_prepacked(const void* data, const polyops_context* ctx) {
  return run(prepacked_product(data), ctx);
}

constexpr polyops_kernel kKernels[] = {
    {sizeof(polyops_kernel), "gemm", "gemm_onednn", "", supports, scratch_bytes, launch},
    {sizeof(polyops_kernel), "gemm_pack", "gemm_pack_onednn", "", supports_pack, nullptr,
     launch_pack},
    {sizeof(polyops_kernel), "gemm_prepacked", "gemm_prepacked_onednn", "", supports_prepacked,
     scratch_bytes_prepacked, launch_prepacked},
};

}  // namespace

std::span<const polyops_kernel> gemm_kernels() { return kKernels; }

}  // namespace polyops::onednn
