// How one op's translation unit hands its kernels to backend.cc.
#ifndef POLYOPS_ONEDNN_TABLE_H_
#define POLYOPS_ONEDNN_TABLE_H_

#include <span>

#include "polyops/abi.h"

namespace polyops::onednn {

std::span<const polyops_kernel> gemm_kernels();
std::span<const polyops_kernel> convolution_kernels();

}  // namespace polyops::onednn

#endif  // POLYOPS_ONEDNN_TABLE_H_
