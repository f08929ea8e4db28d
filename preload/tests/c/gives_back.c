/* Memory goes back to the system by itself, whoever frees it: in a process that allocates, then only frees, then does
 * nothing. A process with little memory never has a second thread. */
#include "check.h"
#include <fcntl.h>
#include <unistd.h>

/* Resident bytes; nothing here allocates. */
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

static void *parts[100000];

static void allocate_then_free(size_t size, int count) {
    for (int i = 0; i < count; i++) {
        parts[i] = hide(malloc(size));
        CHECK(parts[i] != NULL);
        memset(parts[i], 1, size);
    }
    for (int i = 0; i < count; i++) free(parts[i]);
}

int main(void) {
    for (int round = 0; round < 20; round++) allocate_then_free(100, 20000);
    for (int round = 0; round < 20; round++) allocate_then_free(100000, 20);
    CHECK(threads_now() == 1);
    size_t before = resident();
    static const struct { size_t size; int count; } loads[] = {{1 << 20, 64}, {1000, 60000}};
    for (int i = 0; i < 2; i++) {
        allocate_then_free(loads[i].size, loads[i].count);
        for (int k = 0; k < 60000 && resident() > before + (16u << 20); k++) usleep(1000);
        CHECK(resident() <= before + (16u << 20));
    }
    return 0;
}
