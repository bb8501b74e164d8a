#include "runtime.h"

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
// Not linked: found at run time where libdnnl finds its own, so that both speak of one runtime.
#include <omp.h>
#endif

#include <cstring>

namespace polyops::onednn {
namespace {

const polyops_host* the_host = nullptr;

// Its constructor opens nothing; a stream belongs to a thread.
const dnnl::stream& stream() {
  thread_local const dnnl::stream of_thread(engine());
  return of_thread;
}

dnnl::memory::desc any(const dnnl::memory::dims& sizes, dnnl::memory::data_type type) {
  return {sizes, type, dnnl::memory::format_tag::any};
}

// Asked of oneDNN itself, which knows what its kernels need of the processor.
bool has_fast(dnnl::memory::data_type type) {
  const OneThread alone;
  try {
    const dnnl::matmul::primitive_desc product(engine(), any({64, 64}, type), any({64, 64}, type),
                                               any({64, 64}, type), plain_attributes());
    refuse_reference(product.impl_info_str());
    const auto image = any({1, 64, 16, 16}, type);
    const dnnl::convolution_forward::primitive_desc filter(
        engine(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct, image,
        any({64, 64, 3, 3}, type), image, {1, 1}, {1, 1}, {1, 1}, plain_attributes());
    refuse_reference(filter.impl_info_str());
    return true;
  } catch (const dnnl::error&) {
    return false;
  }
}

}  // namespace

const dnnl::engine& engine() {
  static const auto* cpu = new dnnl::engine(dnnl::engine::kind::cpu, 0);
  return *cpu;
}

dnnl::memory::data_type type_of(int32_t dtype) {
  using Type = dnnl::memory::data_type;
  static const bool has_f32 = has_fast(Type::f32), has_bf16 = has_fast(Type::bf16);
  if (dtype == POLYOPS_FLOAT32 && has_f32) return Type::f32;
  if (dtype == POLYOPS_BFLOAT16 && has_bf16) return Type::bf16;
  return Type::undef;
}

#if DNNL_CPU_THREADING_RUNTIME == DNNL_RUNTIME_OMP
OneThread::OneThread() : before_(omp_get_max_threads()) {
  if (before_ != 1) omp_set_num_threads(1);
}
OneThread::~OneThread() {
  if (before_ != 1) omp_set_num_threads(before_);
}
#else
OneThread::OneThread() : before_(1) {}
OneThread::~OneThread() = default;
#endif

dnnl::primitive_attr plain_attributes() {
  dnnl::primitive_attr attributes;
  attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  attributes.set_fpmath_mode(dnnl::fpmath_mode::strict);
  return attributes;
}

void refuse_reference(const char* implementation) {
  if (std::strncmp(implementation, "ref", 3) != 0) return;
  throw dnnl::error(dnnl_unimplemented, "a reference implementation");
}

Step::Step(const dnnl::primitive& primitive, std::initializer_list<Operand> operands,
           const dnnl::memory::desc& scratchpad)
    : primitive_(primitive), scratchpad_bytes_(scratchpad.get_size()) {
  const auto add = [&](int place, const dnnl::memory::desc& desc) {
    memories_[count_] = dnnl::memory(desc, engine(), DNNL_MEMORY_NONE);
    arguments_[count_] = {place, memories_[count_].get()};
    ++count_;
  };
  for (const auto& [place, desc] : operands) add(place, desc);
  if (scratchpad_bytes_ > 0) add(DNNL_ARG_SCRATCHPAD, scratchpad);
}

void Step::run(std::initializer_list<const void*> data, void* scratchpad) {
  size_t i = 0;
  for (const void* d : data) memories_[i++].set_data_handle(const_cast<void*>(d));
  if (i < count_) memories_[i].set_data_handle(scratchpad);
  dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream().get(),
                                                 static_cast<int>(count_), arguments_.data()),
                          "a primitive failed");
}

Step reorder_step(const dnnl::memory::desc& from, const dnnl::memory::desc& to,
                  const dnnl::primitive_attr& attributes) {
  const dnnl::reorder::primitive_desc desc(engine(), from, engine(), to, attributes);
  return {dnnl::reorder(desc), {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}}, desc.scratchpad_desc()};
}

void set_host(const polyops_host* host) { the_host = host; }
void set_error(const char* message) { the_host->set_error(message); }

}  // namespace polyops::onednn
