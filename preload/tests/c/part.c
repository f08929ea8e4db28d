/* A library for libraries.c: it allocates when it is loaded and when it goes, and has thread-local storage. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static char *kept[50];
static __thread char *mine[100];

__attribute__((constructor)) static void loaded(void) {
    for (int i = 0; i < 50; i++) {
        kept[i] = malloc((size_t)i * 300 + 1);
        memset(kept[i], i, (size_t)i * 300 + 1);
    }
}

__attribute__((destructor)) static void unloaded(void) {
    for (int i = 0; i < 50; i++) {
        if (kept[i][i * 300] != i) abort();
        free(kept[i]);
    }
}

char *give(int i) {
    mine[i] = malloc(100);
    memset(mine[i], i, 100);
    return mine[i];
}
