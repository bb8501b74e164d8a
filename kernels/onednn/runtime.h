// What every kernel here needs of oneDNN: an engine, a stream, one thread, and primitives that are
// made once. A primitive runs on the thread that calls it and on no other: kernels cut their work
// and give each of torch's threads a primitive for its slice. Those are what stays between calls
// here, and what the first call of a shape allocates.
#ifndef POLYOPS_ONEDNN_RUNTIME_H_
#define POLYOPS_ONEDNN_RUNTIME_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <initializer_list>
#include <oneapi/dnnl/dnnl.hpp>
#include <string>
#include <utility>

#include "polyops/abi.h"

namespace polyops::onednn {

const dnnl::engine& engine();

// oneDNN's name for it; undef if it has no fast products and convolutions of it on this machine.
dnnl::memory::data_type type_of(int32_t dtype);

// While one lives, oneDNN makes and runs primitives for the calling thread alone. The OpenMP
// runtime may be torch's own, so its setting is put back.
class OneThread {
 public:
  OneThread();
  ~OneThread();
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

// In the precision of the types, with a scratchpad from the caller.
dnnl::primitive_attr plain_attributes();

// Throws `unimplemented` for one that is no more than a reference: stock's own is faster.
void refuse_reference(const char* implementation);

// A primitive and its operands, which change from run to run. Of one thread.
class Step {
 public:
  using Operand = std::pair<int, dnnl::memory::desc>;  // DNNL_ARG_..., and how it lies

  Step() = default;
  Step(const dnnl::primitive& primitive, std::initializer_list<Operand> operands,
       const dnnl::memory::desc& scratchpad);

  // data: of the operands, in the order in which they were named; nullptr for those without a
  // place.
  void run(std::initializer_list<const void*> data, void* scratchpad);

  size_t scratchpad_bytes() const { return scratchpad_bytes_; }

 private:
  static constexpr size_t kMost = 5;

  dnnl::primitive primitive_;
  std::array<dnnl::memory, kMost> memories_;
  std::array<dnnl_exec_arg_t, kMost> arguments_;
  size_t count_ = 0;
  size_t scratchpad_bytes_ = 0;
};

// A copy from one order into another.
Step reorder_step(const dnnl::memory::desc& from, const dnnl::memory::desc& to,
                  const dnnl::primitive_attr& attributes);

inline size_t to_cache_lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

void set_host(const polyops_host* host);
void set_error(const char* message);

// POLYOPS_DECLINED if oneDNN has no such primitive, POLYOPS_ERROR for what else it throws. For work
// that writes nothing.
template <class Run>
int translated(const Run& run) {
  try {
    return run();
  } catch (const dnnl::error& e) {
    if (e.status == dnnl_unimplemented) return POLYOPS_DECLINED;
    set_error((std::string("oneDNN: ") + e.what()).c_str());
  } catch (const std::exception& e) {
    set_error(e.what());
  }
  return POLYOPS_ERROR;
}

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Multiply-adds that are worth a thread: 5 us.
inline constexpr double kWorthAThread = 2.5e5;

// Units that a thread gets at least, where one is that many multiply-adds.
inline int64_t grain_of(double products) {
  return products >= kWorthAThread ? 1 : static_cast<int64_t>(kWorthAThread / products);
}

// Calls body(unit, thread) for n units on torch's threads, at least `grain` of them on each that is
// used, and each in oneDNN's eyes the only one. What a body throws is an error.
template <class Body>
int for_each_unit(const polyops_context* ctx, int64_t n, int64_t grain, const Body& body) {
  struct Shared {
    const Body& body;
    std::atomic<bool> failed = false;
    std::string message = {};  // of the first to fail
  } shared = {body};
  const auto run = [](void* user, int64_t begin, int64_t end, int32_t thread) {
    auto& work = *static_cast<Shared*>(user);
    const OneThread alone;
    try {
      for (int64_t i = begin; i < end; ++i) work.body(i, thread);
    } catch (const std::exception& e) {
      if (!work.failed.exchange(true)) work.message = e.what();
    }
  };
  if (n <= grain || ctx->num_threads <= 1) {
    run(&shared, 0, n, 0);
  } else {
    ctx->parallel_for(ctx, n, grain, run, &shared);
  }
  if (!shared.failed) return POLYOPS_OK;
  set_error(("oneDNN: " + shared.message).c_str());
  return POLYOPS_ERROR;
}

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_RUNTIME_H_
