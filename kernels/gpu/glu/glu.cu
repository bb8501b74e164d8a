// glu and its gradient, elementwise over the two halves of src. Bound: memory.
#include "activation/curves.h"
#include "elementwise.h"
#include "polyops/ops/glu.h"
#include "table.h"

namespace polyops::gpu {
namespace {

// The half of t along dim that is the first (0) or the second (1); t has an even size there.
polyops_tensor half_of(const polyops_tensor& t, int dim, int which) {
  polyops_tensor half = t;
  half.sizes[dim] /= 2;
  if (t.data == nullptr) return half;
  const int64_t bytes = t.dtype == POLYOPS_FLOAT32 ? 4 : 2;
  half.data = static_cast<char*>(t.data) + which * half.sizes[dim] * t.strides[dim] * bytes;
  return half;
}

const char* refused(const polyops_tensor& src, int dim) {
  if (dim < 0 || dim >= src.rank) return "dim";
  return src.sizes[dim] % 2 == 0 ? nullptr : "shape";
}

template <class T>
struct Gate {
  GPU_DEVICE float operator()(float a, float b) const { return a * logistic<T>(b); }
  GPU_DEVICE void operator()(float a, float b, float grad, float* of_a, float* of_b) const {
    float slope;
    *of_a = grad * logistic<T>(b, &slope);
    *of_b = grad * a * slope;
  }
};

struct Glu {
  struct Args {
    polyops_tensor a, b, dst;

    explicit Args(const polyops_glu_args& args)
        : a(half_of(args.src, args.dim, 0)), b(half_of(args.src, args.dim, 1)), dst(args.dst) {}
  };
  using Whole = polyops_glu_args;
  static constexpr int kInputs = 2, kOutputs = 1;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.a;
    t[1] = &args.b;
    t[2] = &args.dst;
  }
  template <class T, class F>
  static int with_function(const Args&, F f) {
    return f(Gate<T>());
  }
};

struct GluBackward {
  struct Args {
    polyops_tensor a, b, grad_dst, of_a, of_b;

    explicit Args(const polyops_glu_backward_args& args)
        : a(half_of(args.src, args.dim, 0)),
          b(half_of(args.src, args.dim, 1)),
          grad_dst(args.grad_dst),
          of_a(half_of(args.grad_src, args.dim, 0)),
          of_b(half_of(args.grad_src, args.dim, 1)) {}
  };
  using Whole = polyops_glu_backward_args;
  static constexpr int kInputs = 3, kOutputs = 2;
  static void tensors(const Args& args, const polyops_tensor** t) {
    t[0] = &args.a;
    t[1] = &args.b;
    t[2] = &args.grad_dst;
    t[3] = &args.of_a;
    t[4] = &args.of_b;
  }
  template <class T, class F>
  static int with_function(const Args&, F f) {
    return f(Gate<T>());
  }
};

template <class Op>
const char* supports(const void* data) {
  const auto& whole = *static_cast<const typename Op::Whole*>(data);
  if (const char* reason = refused(whole.src, whole.dim)) return reason;
  const typename Op::Args args(whole);
  return Elementwise<Op>::supports(&args);
}

template <class Op>
int launch(const void* data, const polyops_context* ctx) {
  const typename Op::Args args(*static_cast<const typename Op::Whole*>(data));
  return Elementwise<Op>::launch(&args, ctx);
}

}  // namespace
}  // namespace polyops::gpu

POLYOPS_GPU_KERNELS(glu, POLYOPS_GPU_KERNEL("glu", "glu", supports<Glu>, nullptr, launch<Glu>),
                    POLYOPS_GPU_KERNEL("glu_backward", "glu_backward", supports<GluBackward>,
                                       nullptr, launch<GluBackward>))
