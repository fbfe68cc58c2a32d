/* Runs every file of the folders given through the harness, whole and cut at every length up to 256
 * bytes, so that the corpus tests something new each time the code changes. Fails when there is no
 * file. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "fuzz.h"

#define FILE_BYTES_MAX (1u << 20)

static int replay_file(const char *path)
{
    FILE *from = fopen(path, "rb");
    uint8_t *bytes = malloc(FILE_BYTES_MAX);
    if (from == NULL || bytes == NULL) {
        (void)fprintf(stderr, "cannot read %s\n", path);
        free(bytes);
        if (from != NULL) {
            (void)fclose(from);
        }
        return 1;
    }
    const size_t size = fread(bytes, 1, FILE_BYTES_MAX, from);
    (void)fclose(from);
    (void)LLVMFuzzerTestOneInput(bytes, size);
    for (size_t cut = 0; cut < size && cut < 256; cut++) {
        /* A copy of just that length, so that a sanitizer sees a read behind it. */
        uint8_t *part = malloc(cut > 0 ? cut : 1);
        if (part != NULL) {
            for (size_t i = 0; i < cut; i++) {
                part[i] = bytes[i];
            }
            (void)LLVMFuzzerTestOneInput(part, cut);
            free(part);
        }
    }
    free(bytes);
    return 0;
}

int main(int argc, char **argv)
{
    unsigned files = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++) {
        DIR *folder = opendir(argv[i]);
        const struct dirent *entry;
        while (folder != NULL && (entry = readdir(folder)) != NULL) {
            char path[1024];
            if (entry->d_name[0] == '.') {
                continue;
            }
            (void)snprintf(path, sizeof path, "%s/%s", argv[i], entry->d_name);
            failed |= replay_file(path);
            files++;
        }
        if (folder != NULL) {
            (void)closedir(folder);
        }
    }
    (void)printf("%u inputs replayed\n", files);
    return files > 0 ? failed : 1;
}
