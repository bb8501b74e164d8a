#ifndef POLYOPS_REFERENCE_GLU_H_
#define POLYOPS_REFERENCE_GLU_H_

#include "polyops/ops/glu.h"

namespace polyops::reference {

void glu(const polyops_glu_args& args);
void glu_backward(const polyops_glu_backward_args& args);

}  // namespace polyops::reference

#endif  // POLYOPS_REFERENCE_GLU_H_
