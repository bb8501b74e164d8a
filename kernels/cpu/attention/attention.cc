// attention: online softmax over blocks of keys, both products by gemm's register tiles; bfloat16
// by pairs where the machine multiplies it. attention_backward: scores again, and five products of
// blocks, in float32 (bfloat16 is widened); one head of keys is one thread's.
// Bound: the products' flops. Zen 4, 2 threads, 512 tokens of 12 heads of 64: forward 183 of 234
// GF/s (stock 140), bfloat16 306 of 466 (134); backward 189 (136), bfloat16 198 (142). Lower with
// few tokens, where exp weighs more: 64 tokens of 32, 64 and 145. Emerald Rapids, 2 threads: the
// time of the two products at the rate of the largest one (439 GF/s, bfloat16 3109) and of a
// softmax in cache (0.12 ns an element) together is 94 to 101 % of what it takes in float32 from
// 512 tokens on, 101 to 110 % in bfloat16 (61 % at 128 tokens of 12 heads of 64).
#include <cstddef>
#include <cstdint>

#include "attention/amx.h"
#include "attention/backward.h"
#include "attention/band.h"
#include "attention/layout.h"
#include "attention/problem.h"
#include "table.h"

namespace polyops::cpu {
namespace {

template <class V, class O, class E>
struct Job {
  Problem<E, typename V::Scalar> problem;
  Plan plan;
  int64_t parts;
  char* scratch;

  void run(int64_t part) const {
    char* own = scratch + part * plan.part_bytes;
    for_each_band(problem, plan.band, part, parts,
                  [&](int64_t batch, int64_t head, int64_t first, int64_t count) {
                    Band<V, O, E>{problem, plan, own, batch, head, first, count}.run();
                  });
  }
};

template <class V, class O, class E>
void run_parts(void* user, int64_t begin, int64_t end, int32_t) {
  for (int64_t i = begin; i < end; ++i) static_cast<const Job<V, O, E>*>(user)->run(i);
}

// Calls run<vector, operand, element>() as the dtype and the machine have it.
template <class Run>
void with_operands(int32_t dtype, const Run& run) {
  with_types(dtype, [&]<class V, class E>() {
    if constexpr (kDepth<V, E> > 1) {
      if (multiplies_bf16()) return run.template operator()<V, E, E>();
    }
    return run.template operator()<V, typename V::Scalar, E>();
  });
}

template <class V, class E>
struct BackwardJob {
  BackwardProblem<E, typename V::Scalar> problem;
  BackwardPlan plan;
  int64_t parts;
  typename V::Scalar* scratch;

  void run(int64_t part) const {
    const auto& p = problem.forward;
    const int64_t kv_heads = p.heads / p.sharing, groups = p.batch * kv_heads;
    for (int64_t g = part * groups / parts; g < (part + 1) * groups / parts; ++g) {
      Group<V, E>{problem, plan, scratch + part * plan.elements, g / kv_heads, g % kv_heads}.run();
    }
  }
};

template <class V, class E>
void run_backward_parts(void* user, int64_t begin, int64_t end, int32_t) {
  for (int64_t i = begin; i < end; ++i) static_cast<const BackwardJob<V, E>*>(user)->run(i);
}

const char* supports(const void* data) {
  return unsupported(*static_cast<const polyops_attention_args*>(data));
}

size_t scratch_bytes(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_attention_args*>(data);
  size_t bytes = 0;
  with_operands(args.query.dtype, [&]<class V, class O, class E>() {
    const auto problem = problem_of<E, typename V::Scalar>(args);
    bytes = plan_of<V, O>(problem).part_bytes * parts_of(problem, threads);
  });
  return bytes;
}

int launch(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_attention_args*>(data);
  if (!unit_stride(args.dst)) return POLYOPS_DECLINED;  // known only now
  with_operands(args.query.dtype, [&]<class V, class O, class E>() {
    Job<V, O, E> job;
    job.problem = problem_of<E, typename V::Scalar>(args);
    job.plan = plan_of<V, O>(job.problem);
    job.parts = parts_of(job.problem, ctx->num_threads);
    job.scratch = static_cast<char*>(ctx->scratch);
    if (job.parts == 1) {
      run_parts<V, O, E>(&job, 0, 1, 0);
    } else {
      ctx->parallel_for(ctx, job.parts, 1, run_parts<V, O, E>, &job);
    }
  });
  return POLYOPS_OK;
}

const char* backward_supports(const void* data) {
  return unsupported(*static_cast<const polyops_attention_backward_args*>(data));
}

size_t backward_scratch_bytes(const void* data, int32_t threads) {
  const auto& args = *static_cast<const polyops_attention_backward_args*>(data);
  size_t bytes = 0;
  with_types(args.query.dtype, [&]<class V, class E>() {
    using S = typename V::Scalar;
    const auto problem = problem_of<E, S>(args);
    bytes = plan_of<V>(problem).elements * parts_of(problem, threads) * sizeof(S);
  });
  return bytes;
}

int launch_backward(const void* data, const polyops_context* ctx) {
  const auto& args = *static_cast<const polyops_attention_backward_args*>(data);
  if (!unit_stride(args.grad_query) || !unit_stride(args.grad_key) ||
      !unit_stride(args.grad_value)) {
    return POLYOPS_DECLINED;  // known only now
  }
  with_types(args.query.dtype, [&]<class V, class E>() {
    BackwardJob<V, E> job;
    job.problem = problem_of<E, typename V::Scalar>(args);
    job.plan = plan_of<V>(job.problem);
    job.parts = parts_of(job.problem, ctx->num_threads);
    job.scratch = static_cast<typename V::Scalar*>(ctx->scratch);
    if (job.parts == 1) {
      run_backward_parts<V, E>(&job, 0, 1, 0);
    } else {
      ctx->parallel_for(ctx, job.parts, 1, run_backward_parts<V, E>, &job);
    }
  });
  return POLYOPS_OK;
}

}  // namespace
}  // namespace polyops::cpu

#if defined(POLYOPS_ISA_AVX512)
POLYOPS_CPU_KERNELS(attention,
                    POLYOPS_KERNEL("attention", "attention_amx", supports_amx, scratch_bytes_amx,
                                   launch_amx),
                    POLYOPS_KERNEL("attention", "attention_online", supports, scratch_bytes,
                                   launch),
                    POLYOPS_KERNEL("attention_backward", "attention_backward_blocked",
                                   backward_supports, backward_scratch_bytes, launch_backward))
#else
POLYOPS_CPU_KERNELS(attention,
                    POLYOPS_KERNEL("attention", "attention_online", supports, scratch_bytes,
                                   launch),
                    POLYOPS_KERNEL("attention_backward", "attention_backward_blocked",
                                   backward_supports, backward_scratch_bytes, launch_backward))
#endif
