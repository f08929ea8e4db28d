/* What the test programs share: CHECK, and the proof that they run on neap. */
#ifndef CHECK_H
#define CHECK_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
            abort();                                                                      \
        }                                                                                 \
    } while (0)

/* Keeps the compiler from knowing what an allocation function returns. */
static inline void *hide(void *p) {
    __asm__ volatile("" : "+r"(p) : : "memory");
    return p;
}

static inline size_t hide_size(size_t n) {
    __asm__ volatile("" : "+r"(n));
    return n;
}

static inline int aligned_to(const void *p, size_t align) {
    return ((uintptr_t)p & (align - 1)) == 0;
}

/* The process's threads. Allocates nothing. */
static inline int threads_now(void) {
    char text[4096];
    int file = open("/proc/self/status", O_RDONLY);
    CHECK(file >= 0);
    ssize_t length = read(file, text, sizeof text - 1);
    CHECK(length > 0 && close(file) == 0);
    text[length] = 0;
    const char *found = strstr(text, "\nThreads:");
    CHECK(found != NULL);
    return atoi(found + strlen("\nThreads:"));
}

static inline void check_is_neap(void) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL);
    CHECK(malloc_info(0, stream) == 0);
    CHECK(fclose(stream) == 0);
    CHECK(strstr(text, "neap") != NULL);
    free(text);
}

#endif
