#include <stdlib.h>

void ends_the_process(void) { exit(1); }
