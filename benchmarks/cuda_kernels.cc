// Times the kernels of libpolyops_cuda.so, without torch.
//
//   cuda_kernels LIBRARY [PART]      PART: only rows whose text contains it
#include "cuda_kernels.h"

#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "polyops/ops/activation.h"
#include "polyops/ops/gelu.h"
#include "polyops/ops/glu.h"
#include "polyops/ops/layer_norm.h"
#include "polyops/ops/relu.h"
#include "polyops/ops/rms_norm.h"
#include "polyops/ops/softmax.h"

namespace polyops::bench {
namespace {

void softmax(Bench& bench, int32_t dtype, const std::vector<int64_t>& sizes, int32_t dim) {
  const std::string note =
      dim + 1 == static_cast<int32_t>(sizes.size()) ? "" : " dim " + std::to_string(dim);
  bench.begin();
  const auto src = bench.tensor(dtype, sizes), dst = bench.tensor(dtype, sizes);
  const polyops_softmax_args forward = {sizeof forward, dim, src, dst};
  bench.row(named("softmax", dtype, sizes, note.c_str()), "softmax", &forward);
  const auto grad = bench.tensor(dtype, sizes);
  const polyops_softmax_backward_args backward = {sizeof backward, dim, src, dst, grad};
  bench.row(named("softmax_backward", dtype, sizes, note.c_str()), "softmax_backward", &backward);
}

void layer_norm(Bench& bench, int32_t dtype, int64_t rows, int64_t n) {
  const std::vector<int64_t> sizes = {rows, n};
  bench.begin();
  const auto src = bench.tensor(dtype, sizes), dst = bench.tensor(dtype, sizes);
  const auto weight = bench.tensor(dtype, {n}), bias = bench.tensor(dtype, {n});
  const auto mean = bench.tensor(POLYOPS_FLOAT32, {rows, 1}),
             rstd = bench.tensor(POLYOPS_FLOAT32, {rows, 1});
  const polyops_layer_norm_args forward = {sizeof forward, 1,   1e-5, src, weight,
                                           bias,           dst, mean, rstd};
  bench.row(named("layer_norm", dtype, sizes), "layer_norm", &forward);
  const auto grad = bench.tensor(dtype, sizes);
  const polyops_layer_norm_backward_args backward = {sizeof backward, 1,    dst,    src, mean, rstd,
                                                     weight,          grad, weight, bias};
  bench.row(named("layer_norm_backward", dtype, sizes), "layer_norm_backward", &backward);
}

void rms_norm(Bench& bench, int32_t dtype, int64_t rows, int64_t n) {
  const std::vector<int64_t> sizes = {rows, n};
  bench.begin();
  const auto src = bench.tensor(dtype, sizes), dst = bench.tensor(dtype, sizes);
  const auto weight = bench.tensor(dtype, {n}), rstd = bench.tensor(POLYOPS_FLOAT32, {rows, 1});
  const polyops_rms_norm_args forward = {sizeof forward, 1, 1e-6, src, weight, dst, rstd};
  bench.row(named("rms_norm", dtype, sizes), "rms_norm", &forward);
  const auto grad = bench.tensor(dtype, sizes);
  const polyops_rms_norm_backward_args backward = {sizeof backward, 1,    dst,   src, rstd,
                                                   weight,          grad, weight};
  bench.row(named("rms_norm_backward", dtype, sizes), "rms_norm_backward", &backward);
}

void activations(Bench& bench, int32_t dtype, const std::vector<int64_t>& sizes) {
  bench.begin();
  const auto src = bench.tensor(dtype, sizes), dst = bench.tensor(dtype, sizes);
  const polyops_relu_args relu = {sizeof relu, 0, src, dst};
  bench.row(named("relu", dtype, sizes), "relu", &relu);
  for (int32_t tanh : {0, 1}) {
    const polyops_gelu_args gelu = {sizeof gelu, tanh, src, dst};
    bench.row(named("gelu", dtype, sizes, tanh != 0 ? " tanh" : ""), "gelu", &gelu);
  }
  const struct {
    std::string op;
    double scalars[POLYOPS_ACTIVATION_SCALARS];
  } others[] = {{"mish", {}}, {"softplus", {1, 20}}, {"elu", {1, 1, 1}}, {"log_sigmoid", {}}};
  for (const auto& [op, scalars] : others) {
    const polyops_activation_args args = {
        sizeof args, 0, {scalars[0], scalars[1], scalars[2]}, src, dst};
    bench.row(named(op.c_str(), dtype, sizes), op.c_str(), &args);
  }
  const auto grad = bench.tensor(dtype, sizes);
  for (const auto& [op, scalars] : others) {
    const std::string backward = op + "_backward";
    const polyops_activation_backward_args args = {
        sizeof args, 0, {scalars[0], scalars[1], scalars[2]}, dst, src, grad};
    bench.row(named(backward.c_str(), dtype, sizes), backward.c_str(), &args);
  }
  for (int32_t tanh : {0, 1}) {
    const polyops_gelu_backward_args gelu = {sizeof gelu, tanh, dst, src, grad};
    bench.row(named("gelu_backward", dtype, sizes, tanh != 0 ? " tanh" : ""), "gelu_backward",
              &gelu);
  }
}

void glu(Bench& bench, int32_t dtype, int64_t rows, int64_t n, int32_t dim) {
  bench.begin();
  const std::vector<int64_t> sizes = {rows, n};
  const std::string note = " dim " + std::to_string(dim);
  const auto src = bench.tensor(dtype, sizes);
  const auto dst =
      bench.tensor(dtype, dim == 0 ? std::vector{rows / 2, n} : std::vector{rows, n / 2});
  const polyops_glu_args forward = {sizeof forward, dim, src, dst};
  bench.row(named("glu", dtype, sizes, note.c_str()), "glu", &forward);
  const auto grad = bench.tensor(dtype, sizes);
  const polyops_glu_backward_args backward = {sizeof backward, dim, dst, src, grad};
  bench.row(named("glu_backward", dtype, sizes, note.c_str()), "glu_backward", &backward);
}

void all_rows(Bench& bench) {
  constexpr int64_t kElements = int64_t{1} << 27;
  for (const int32_t dtype : {POLYOPS_BFLOAT16, POLYOPS_FLOAT32}) {
    activations(bench, dtype, {16384, 8192});
    activations(bench, dtype, {100003, 1001});
    for (int32_t dim : {0, 1}) glu(bench, dtype, 16384, 8192, dim);
    glu(bench, dtype, 100003, 1002, 1);
    for (const int64_t n : {64,   128,  256,  512,   768,   1000,  1024,  1025,  2048,   4096,
                            4097, 5120, 8192, 12288, 16384, 32768, 50257, 65536, 128256, 131072}) {
      softmax(bench, dtype, {kElements / n, n}, 1);
      layer_norm(bench, dtype, kElements / n, n);
      rms_norm(bench, dtype, kElements / n, n);
    }
    softmax(bench, dtype, {64, 4096, 256}, 1);
    softmax(bench, dtype, {32, 21, 512, 512}, 1);
    softmax(bench, dtype, {8192, 8192}, 0);
  }
  softmax(bench, POLYOPS_FLOAT16, {32768, 4096}, 1);
  layer_norm(bench, POLYOPS_FLOAT16, 32768, 4096);
}

const polyops_backend* open(const char* path) {
  static const polyops_host host = {sizeof(polyops_host), POLYOPS_ABI_VERSION,
                                    [](const char* text) { std::fprintf(stderr, "%s\n", text); }};
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    std::fprintf(stderr, "%s\n", dlerror());
    return nullptr;
  }
  const auto init =
      reinterpret_cast<polyops_backend_init_fn>(dlsym(library, "polyops_backend_init"));
  const polyops_backend* family = init == nullptr ? nullptr : init(&host);
  char reason[256] = "no backend";
  if (family != nullptr && family->probe(reason, sizeof reason) != 0) return family;
  std::fprintf(stderr, "%s: %s\n", path, reason);
  return nullptr;
}

}  // namespace
}  // namespace polyops::bench

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s LIBRARY [PART]\n", argv[0]);
    return 2;
  }
  const polyops_backend* family = polyops::bench::open(argv[1]);
  if (family == nullptr) return 1;
  polyops::bench::Bench bench(*family, argc > 2 ? argv[2] : "");
  polyops::bench::all_rows(bench);
  return 0;
}
