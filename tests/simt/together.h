// What 32 neighbouring lanes do at once, whatever the wave.
#ifndef POLYOPS_TESTS_SIMT_TOGETHER_H_
#define POLYOPS_TESTS_SIMT_TOGETHER_H_

namespace simt {

inline constexpr int kTogether = 32;

// Calls all(lanes) once, when all of them have come: lanes[i] is what the i-th gave. An error where
// some do not come, or ask for another function.
void together(void* mine, void (*all)(void* const* lanes));

}  // namespace simt

#endif  // POLYOPS_TESTS_SIMT_TOGETHER_H_
