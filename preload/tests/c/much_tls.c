/* Much static thread-local storage, which the C library takes out of each thread's stack: memory still goes back by itself. */
#include "check.h"
#include <pthread.h>

static __thread volatile char storage[TLS_BYTES];

enum { COUNT = 16000, SIZE = 4000 };

static char *parts[COUNT];

static size_t resident(void) {
    char text[100];
    int file = open("/proc/self/statm", O_RDONLY);
    CHECK(file >= 0);
    ssize_t length = read(file, text, sizeof text - 1);
    CHECK(length > 0);
    close(file);
    text[length] = 0;
    return strtoul(strchr(text, ' '), NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

int main(void) {
    storage[0] = storage[TLS_BYTES - 1] = 1;
    size_t before = resident();
    for (int i = 0; i < COUNT; i++) {
        parts[i] = hide(malloc(SIZE));
        CHECK(parts[i] != NULL);
        memset(parts[i], 1, SIZE);
    }
    for (int i = 0; i < COUNT; i++) free(parts[i]);
    /* The storage of the allocator's thread is memory too. */
    size_t most = before + TLS_BYTES + (8 << 20);
    for (int i = 0; i < 3000 && resident() > most; i++) usleep(10000);
    CHECK(resident() <= most);
    return 0;
}
