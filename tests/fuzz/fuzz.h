/* What every harness implements: libFuzzer's entry. In the fuzz preset libFuzzer drives it,
 * elsewhere replay_main.c runs the corpus through it as an ordinary test. A broken property ends
 * the process through MLT_CHECK. */
#ifndef MELTICA_TESTS_FUZZ_H
#define MELTICA_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
