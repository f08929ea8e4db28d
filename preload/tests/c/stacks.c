/* What glibc frees in its cache of thread stacks, under the lock of that cache: what ended threads owned, when their stacks
 * push others out of the cache (more than 40 MiB in all). It does so in whatever thread joins, and in detached threads at
 * their very end. */
#include "check.h"
#include <pthread.h>
#include <semaphore.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK = 24 << 20, LARGE = 16 << 20 };

/* Waits until the process has so many threads. */
static void until_threads(int wanted) {
    for (int i = 0; i < 60000 && threads_now() != wanted; i++) usleep(1000);
    CHECK(threads_now() == wanted);
}

/* Waits until the process has so many threads at most: the allocator's own comes and goes. */
static void until_at_most(int wanted) {
    for (int i = 0; i < 60000 && threads_now() > wanted; i++) usleep(1000);
    CHECK(threads_now() <= wanted);
}

static void *nothing(void *argument) {
    return argument;
}

static pthread_attr_t big_stack;

static void start(pthread_t *thread, void *(*function)(void *), void *argument) {
    CHECK(pthread_create(thread, &big_stack, function, argument) == 0);
}

static sem_t go;

static void *waits(void *argument) {
    while (sem_wait(&go) != 0) {
    }
    return argument;
}

/* Joins threads whose stacks push each other out. The joining thread has no cache of its own, so the frees that glibc
 * makes are slow ones. */
static void *joiner(void *argument) {
    pthread_t *threads = waits(argument);
    for (int i = 0; i < 6; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    return NULL;
}

static pthread_key_t late;
static void *large;

/* Runs after the allocator's own: with this free the scavenger is wanted, and this thread may not start it any more. */
static void free_late(void *argument) {
    free(large);
}

static void *ends_with_free(void *argument) {
    free(hide(malloc(100)));
    CHECK(pthread_setspecific(late, &late) == 0);
    return argument;
}

/* `large` is in use, and no thread of ours has been started for it. */
static void scavenger_is_wanted_in_a_join(void) {
    pthread_t threads[6], joining, thread;
    for (int i = 0; i < 6; i++) start(&threads[i], nothing, NULL);
    CHECK(pthread_create(&joining, NULL, joiner, threads) == 0);
    CHECK(pthread_create(&thread, NULL, ends_with_free, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    CHECK(sem_post(&go) == 0);
    CHECK(pthread_join(joining, NULL) == 0);
}

static int caches(void) {
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(stream != NULL && malloc_info(0, stream) == 0 && fclose(stream) == 0);
    const char *found = strstr(text, "<threads>");
    CHECK(found != NULL);
    int count = atoi(found + strlen("<threads>"));
    free(text);
    return count;
}

/* Detached threads that never allocate, and free others' memory when they have ended: none leaves a cache behind. */
static void ended_threads_have_no_cache(void) {
    int caches_before = caches();
    for (int round = 0; round < 20; round++) {
        pthread_t thread;
        for (int i = 0; i < 10; i++) {
            start(&thread, waits, NULL);
            CHECK(pthread_detach(thread) == 0);
        }
        for (int i = 0; i < 10; i++) CHECK(sem_post(&go) == 0);
        until_at_most(2);
        malloc_trim(0);
    }
    CHECK(caches() == caches_before);
}

int main(void) {
    CHECK(sem_init(&go, 0, 0) == 0);
    CHECK(pthread_attr_init(&big_stack) == 0 && pthread_attr_setstacksize(&big_stack, STACK) == 0);
    CHECK(threads_now() == 1);
    free(hide(malloc(100)));
    CHECK(pthread_key_create(&late, free_late) == 0);
    /* In a child of its own what is in use counts from here: nothing asks for the scavenger ahead of that free. */
    large = hide(malloc(LARGE));
    memset(large, 1, LARGE);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        alarm(60);
        CHECK(threads_now() == 1);
        scavenger_is_wanted_in_a_join();
        until_threads(1);
        /* The next allocation that is not at hand starts it. */
        free(hide(malloc(LARGE)));
        until_threads(2);
        _exit(0);
    }
    int status;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
    free(large);
    ended_threads_have_no_cache();
    return 0;
}
