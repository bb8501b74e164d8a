// What every kernel test needs: the family opened through its ABI, tensors whose surroundings are
// watched, and a context that runs on real threads.
#ifndef POLYOPS_TESTS_KERNELS_HARNESS_H_
#define POLYOPS_TESTS_KERNELS_HARNESS_H_

#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "family.h"
#include "polyops/abi.h"

namespace polyops::testing {

// The family under test. Aborts the test program if it cannot be opened.
const polyops_backend& family();

// The kernels of that op which this machine can run, in table order. Never empty for an op that the
// family lists: a test over it cannot pass by running nothing.
std::vector<const polyops_kernel*> kernels_of(const std::string& op);

// A strided tensor in its own memory, with guard bytes before, behind and between its elements.
class Buffer {
 public:
  // strides in elements; empty: contiguous. offset shifts the first element, to break alignment.
  Buffer(int32_t dtype, std::vector<int64_t> sizes, std::vector<int64_t> strides = {},
         int64_t offset = 0);
  // A tensor of its own, laid out alike, with the same elements.
  Buffer(const Buffer& other);
  Buffer(Buffer&&) = default;
  Buffer& operator=(Buffer&&) = default;

  // The view, with data. `without_data` is what supports() sees of an output.
  polyops_tensor view() const;
  polyops_tensor without_data() const;

  int64_t numel() const { return numel_; }
  double get(int64_t linear) const;        // element in row-major order
  void set(int64_t linear, double value);  // rounded to the dtype
  std::vector<double> values() const;
  void fill(const std::function<double(int64_t)>& value);
  void fill_normal(uint32_t seed, double scale = 1.0);

  // True if nothing outside the elements has changed since construction.
  bool guards_intact() const;

 private:
  int64_t position(int64_t linear) const;  // std::out_of_range if there is no such element

  polyops_tensor view_;
  int64_t numel_;
  int64_t offset_;
  Bytes memory_;
  std::vector<unsigned char> guards_;  // per byte: 0xff where it is one, 0 where it is an element's
  int64_t first_ = 0;                  // in bytes from the memory's begin
  // The elements' places after the first, in bytes; empty if they lie side by side. Every test asks
  // for every element, several times: dividing by the sizes each time took most of their time.
  std::vector<int64_t> places_;
};

// An absent optional tensor.
polyops_tensor absent();

// Launches with `threads` real threads; scratch is exactly scratch_bytes() long, 64-byte aligned,
// filled with NaN bits and guarded. Fails the current test if the guard is overwritten.
int launch(const polyops_kernel& kernel, const void* args, int threads = 1);

// The text of the last set_error().
std::string last_error();

// Strides of a contiguous tensor with its dimensions laid out in the given order (outermost first).
std::vector<int64_t> permuted_strides(const std::vector<int64_t>& sizes,
                                      const std::vector<int>& order);

// One unit in the last place of dtype at 1.0: 2^-23, 2^-52, 2^-7, 2^-10.
double epsilon(int32_t dtype);

// bfloat16 and float16: computed in float32.
bool is_half(int32_t dtype);

// How far off the nearest value of a 16-bit dtype may be, and a little more; 0 of any other.
double rounding_of(int32_t dtype, double value);

// What becomes of a result at best: beyond the largest float16 there is infinity.
double in_range(int32_t dtype, double value);

// Whether kernels of that ISA multiply bfloat16 as it is, by an instruction that this machine has.
bool multiplies_bf16(const std::string& isa);

// Whether the family's kernels are written for a GPU, whatever runs them.
bool is_gpu();

// Whether the family found the tiles of AMX.
bool has_amx();

}  // namespace polyops::testing

#endif  // POLYOPS_TESTS_KERNELS_HARNESS_H_
