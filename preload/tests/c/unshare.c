/* A process whose memory was given back is single-threaded again: it may enter a user namespace of its own. */
#include "check.h"
#include <sched.h>

enum { COUNT = 8000, SIZE = 4000 };

static char *parts[COUNT];

int main(void) {
    for (int i = 0; i < COUNT; i++) {
        parts[i] = hide(malloc(SIZE));
        CHECK(parts[i] != NULL);
        memset(parts[i], 1, SIZE);
    }
    for (int i = 0; i < COUNT; i++) free(parts[i]);
    free(hide(malloc(100000)));
    for (int i = 0; i < 5000 && threads_now() != 2; i++) usleep(1000);
    CHECK(threads_now() == 2);
    for (int i = 0; i < 3000 && threads_now() != 1; i++) usleep(10000);
    CHECK(threads_now() == 1);
    if (unshare(CLONE_NEWUSER) != 0) CHECK(errno == EPERM || errno == ENOSPC);
    /* It comes back on demand. */
    for (int i = 0; i < COUNT; i++) CHECK((parts[i] = hide(malloc(SIZE))) != NULL);
    for (int i = 0; i < COUNT; i++) free(parts[i]);
    free(hide(malloc(100000)));
    for (int i = 0; i < 5000 && threads_now() != 2; i++) usleep(1000);
    CHECK(threads_now() == 2);
    return 0;
}
