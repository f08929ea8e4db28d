/* main leaves by pthread_exit; the process ends with its last thread, whatever the allocator keeps. The arguments:
 * `freed`: all memory is freed by then; `live`: most of it stays; `quick`: the last thread ends while memory is being given
 * back. What runs at exit prints a line, and has the stack of a thread of the program. */
#include "check.h"
#include <pthread.h>

enum { COUNT = 16000, SIZE = 4000 };

static char *parts[COUNT];
static const char *what;

static void *worker(void *argument) {
    for (int i = 0; i < COUNT; i++) {
        parts[i] = hide(malloc(SIZE));
        CHECK(parts[i] != NULL);
        memset(parts[i], 1, SIZE);
    }
    int kept = strcmp(what, "live") == 0 ? COUNT / 2 : 0;
    for (int i = kept; i < COUNT; i++) free(parts[i]);
    free(hide(malloc(100000)));
    /* The zombie of main, this thread, and the allocator's. */
    for (int i = 0; i < 5000 && threads_now() != 3; i++) usleep(1000);
    CHECK(threads_now() == 3);
    if (strcmp(what, "quick") != 0) sleep(3);
    return argument;
}

static void at_exit(void) {
    volatile char room[1 << 20];
    memset((char *)room, 1, sizeof room);
    CHECK(write(1, "ended\n", 6) == 6);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    what = argv[1];
    CHECK(atexit(at_exit) == 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, worker, NULL) == 0);
    CHECK(pthread_detach(thread) == 0);
    pthread_exit(NULL);
}
