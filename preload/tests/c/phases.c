/* Memory in every phase of a program: constructors, exit handlers, thread-local destructors, objects that outlive their
 * thread. */
#include "check.h"
#include <pthread.h>
#include <unistd.h>

static char *early;
static char *from_first[100];

__attribute__((constructor(101))) static void first(void) {
    early = malloc(1000);
    memset(early, 9, 1000);
    for (int i = 0; i < 100; i++) from_first[i] = malloc((size_t)i * 1000 + 1);
}

__attribute__((destructor(101))) static void last(void) {
    CHECK(early[999] == 9);
    free(early);
    char *p = malloc(100000);
    CHECK(p != NULL);
    memset(p, 1, 100000);
    free(p);
}

static void at_exit(void) {
    for (int i = 0; i < 100; i++) free(from_first[i]);
    for (int i = 0; i < 1000; i++) free(hide(malloc((size_t)i * 100)));
}

static pthread_key_t keys[8];

/* Runs up to four times for each key, before and after the allocator's own. */
static void key_destructor(void *value) {
    char *p = malloc(500);
    CHECK(p != NULL);
    memset(p, 3, 500);
    free(p);
    intptr_t round = (intptr_t)value;
    if (round < 4) pthread_setspecific(keys[round % 8], (void *)(round + 1));
}

static void *thread(void *argument) {
    for (int i = 0; i < 8; i++) pthread_setspecific(keys[i], (void *)1);
    if (argument) free(argument);
    char **result = malloc(64 * sizeof *result);
    for (int i = 0; i < 64; i++) {
        result[i] = malloc((size_t)i * 50 + 1);
        result[i][0] = (char)i;
    }
    return result;
}

int main(void) {
    check_is_neap();
    CHECK(atexit(at_exit) == 0);
    for (int i = 0; i < 8; i++) CHECK(pthread_key_create(&keys[i], key_destructor) == 0);
    for (int round = 0; round < 300; round++) {
        pthread_t threads[4];
        for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, thread, malloc(2000)) == 0);
        for (int i = 0; i < 4; i++) {
            char **result;
            CHECK(pthread_join(threads[i], (void **)&result) == 0);
            for (int k = 0; k < 64; k++) {
                CHECK(result[k][0] == (char)k);
                free(result[k]);
            }
            free(result);
        }
    }
    /* A thread that only frees, and one that never touches the heap. */
    pthread_t t;
    CHECK(pthread_create(&t, NULL, (void *(*)(void *))(void (*)(void))free, malloc(100)) == 0);
    CHECK(pthread_join(t, NULL) == 0);
    return 0;
}
