// convolution, convolution_pack and convolution_prepacked. Each image is cut into bands of its
// rows, and where those are too few, its filters into equal parts; each slice is a primitive of its
// own. Plain weights are put into oneDNN's order once per call.
#include "polyops/ops/convolution.h"

#include <algorithm>

#include "convolution_call.h"
#include "convolution_plan.h"
#include "convolution_slice.h"
#include "runtime.h"
#include "table.h"

namespace polyops::onednn {
namespace {

// Compared by address.
constexpr char kBlocks[] = "oneDNN's blocks of filters";

// What stands before the packed weight.
struct alignas(64) PackHeader {
  WeightKey key;
};

// One call's tensors, and where each slice of them begins.
class Run {
 public:
  Run(const polyops_convolution_args& args, const char* pack, const CallKey& call, const Plan& plan,
      const polyops_context* ctx)
      : args_(args),
        pack_(pack),
        call_(call),
        plan_(plan),
        ctx_(ctx),
        width_(static_cast<int64_t>(polyops_dtype_size(args.dst.dtype))),
        shared_(static_cast<char*>(ctx->scratch)) {}

  int go() {
    for (const WeightLayout& layout : plan_.layouts) {
      if (layout.source != WeightLayout::Source::kCopy) continue;
      const int status = for_each_unit(ctx_, plan_.parts, 1, [&](int64_t part, int32_t thread) {
        const auto slice = slice_of(plan_.kinds[layout.kind].key, nullptr);
        slice->arrange.run({plain_weights(part), weights(layout, part)}, scratchpad(thread));
      });
      if (status != POLYOPS_OK) return status;
    }
    const int64_t units = plan_.units_of_image();
    return for_each_unit(
        ctx_, call_.batch * units, grain_of(call_.products() / units),
        [&](int64_t unit, int32_t thread) { compute(unit / units, unit % units, thread); });
  }

 private:
  // Of the filters' parts.
  const char* plain_weights(int64_t part) const {
    const int64_t filters = call_.whole.filters / plan_.parts;
    return first(args_.weight) + part * filters * args_.weight.strides[0] * width_;
  }
  const char* weights(const WeightLayout& layout, int64_t part) const {
    if (layout.source == WeightLayout::Source::kPlain) return plain_weights(part);
    const char* all =
        layout.source == WeightLayout::Source::kPack ? pack_ : shared_ + layout.offset;
    return all + part * layout.part_bytes;
  }

  // Of each thread: src, dst and a scratchpad.
  char* own(int32_t thread) const {
    return shared_ + plan_.shared_bytes + thread * plan_.own_bytes;
  }
  char* scratchpad(int32_t thread) const { return own(thread) + plan_.src_bytes + plan_.dst_bytes; }

  static char* first(const polyops_tensor& t) { return static_cast<char*>(t.data); }

  char* at(const polyops_tensor& image, int64_t order, int64_t item, int64_t channel,
           int64_t row) const {
    int64_t pixels = 1;
    for (int d = 3; d < image.rank; ++d) pixels *= image.sizes[d];
    const int64_t channels = image.sizes[1], all = pixels * image.sizes[2] * channels;
    const int64_t within = order == kLast ? row * pixels * channels + channel
                                          : channel * pixels * image.sizes[2] + row * pixels;
    return first(image) + (item * all + within) * width_;
  }

  void compute(int64_t item, int64_t unit, int32_t thread) const {
    const Band& band = plan_.bands[unit / plan_.parts];
    const int64_t part = unit % plan_.parts;
    const int64_t filter = part * (call_.whole.filters / plan_.parts);
    const Kind& kind = plan_.kinds[band.kind];
    const auto slice = slice_of(kind.key, kind.pack());
    const char* src = at(args_.src, call_.whole.src_order, item, 0, band.first_in);
    char* dst = at(args_.dst, call_.whole.dst_order, item, filter, band.first_out);
    char* const copied = own(thread);
    char* const made = slice->dst_bytes > 0 ? copied + plan_.src_bytes : dst;
    if (slice->src_bytes > 0) {
      slice->take.run({src, copied}, scratchpad(thread));
      src = copied;
    }
    const char* filters = weights(plan_.layouts[kind.layout], part);
    if (call_.whole.bias != 0) {
      const char* bias = first(args_.bias) + filter * width_;
      slice->convolve.run({src, filters, made, bias}, scratchpad(thread));
    } else {
      slice->convolve.run({src, filters, made}, scratchpad(thread));
    }
    if (slice->dst_bytes > 0) slice->give.run({made, dst}, scratchpad(thread));
  }

  const polyops_convolution_args& args_;
  const char* pack_;
  const CallKey& call_;
  const Plan& plan_;
  const polyops_context* ctx_;
  int64_t width_;
  char* shared_;
};

size_t scratch_of(const CallKey& call) {
  size_t bytes = 0;
  translated([&] {
    const auto plan = plan_of(call);
    bytes = plan->shared_bytes + plan->own_bytes * call.threads;
    return static_cast<int>(POLYOPS_OK);
  });
  return bytes;  // launch comes to the same end
}

int run(const polyops_convolution_args& args, const char* pack, const CallKey& call,
        const polyops_context* ctx) {
  return translated([&] {
    const auto plan = plan_of(call);
    const bool wants_scratch = plan->shared_bytes + plan->own_bytes > 0;
    if (wants_scratch && ctx->scratch == nullptr) return static_cast<int>(POLYOPS_DECLINED);
    return Run(args, pack, call, *plan, ctx).go();
  });
}

const polyops_convolution_args& plain_args(const void* data) {
  return *static_cast<const polyops_convolution_args*>(data);
}

const char* supports(const void* data) {
  CallKey call;
  return read(plain_args(data), 1, &call);
}

size_t scratch_bytes(const void* data, int32_t threads) {
  CallKey call;
  read(plain_args(data), threads, &call);
  return scratch_of(call);
}

int launch(const void* data, const polyops_context* ctx) {
  CallKey call;
  read(plain_args(data), ctx->num_threads, &call);
  return run(plain_args(data), nullptr, call, ctx);
}

const polyops_convolution_pack_args& pack_args(const void* data) {
  return *static_cast<const polyops_convolution_pack_args*>(data);
}

const char* supports_pack(const void* data) {
  const auto& args = pack_args(data);
  int64_t order;
  if (type_of(args.weight.dtype) == dnnl::memory::data_type::undef) return "dtype";
  return order_of(args.weight, &order) ? nullptr : "layout";
}

int launch_pack(const void* data, const polyops_context*) {
  const auto& args = pack_args(data);
  return translated([&] {
    const OneThread alone;
    const WeightKey key = weight_key(args);
    const dnnl::memory::desc order = packed_weights(key);
    args.pack->format = kBlocks;
    args.pack->bytes = static_cast<int64_t>(sizeof(PackHeader) + order.get_size());
    if (args.pack->data == nullptr) return static_cast<int>(POLYOPS_OK);
    auto* header = static_cast<PackHeader*>(args.pack->data);
    header->key = key;
    int64_t lies;
    order_of(args.weight, &lies);
    Step copy =
        reorder_step(plain_weights(key, static_cast<Order>(lies)), order, dnnl::primitive_attr());
    copy.run({args.weight.data, header + 1}, nullptr);
    return static_cast<int>(POLYOPS_OK);
  });
}

const polyops_convolution_prepacked_args& prepacked_args(const void* data) {
  return *static_cast<const polyops_convolution_prepacked_args*>(data);
}

const char* supports_prepacked(const void* data) {
  const auto& args = prepacked_args(data);
  if (args.pack->format != kBlocks) return "packed for another kernel";
  CallKey call;
  return read(*args.convolution, 1, &call);
}

CallKey prepacked_call(const polyops_convolution_prepacked_args& args, int64_t threads) {
  CallKey call;
  read(*args.convolution, threads, &call);
  call.whole.pack = static_cast<const PackHeader*>(args.pack->data)->key;
  return call;
}

size_t scratch_bytes_prepacked(const void* data, int32_t threads) {
  return scratch_of(prepacked_call(prepacked_args(data), threads));
}

int launch_prepacked(const void* data, const polyops_context* ctx) {
  const auto& args = prepacked_args(data);
  const CallKey call = prepacked_call(args, ctx->num_threads);
  const auto* header = static_cast<const PackHeader*>(args.pack->data);
  return run(*args.convolution, reinterpret_cast<const char*>(header + 1), call, ctx);
}

constexpr polyops_kernel kKernels[] = {
    {sizeof(polyops_kernel), "convolution", "convolution_onednn", "", supports, scratch_bytes,
     launch},
    {sizeof(polyops_kernel), "convolution_pack", "convolution_pack_onednn", "", supports_pack,
     nullptr, launch_pack},
    {sizeof(polyops_kernel), "convolution_prepacked", "convolution_prepacked_onednn", "",
     supports_prepacked, scratch_bytes_prepacked, launch_prepacked},
};

}  // namespace

std::span<const polyops_kernel> convolution_kernels() { return kKernels; }

}  // namespace polyops::onednn
