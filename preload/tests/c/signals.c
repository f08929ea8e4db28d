/* fork in a signal handler that interrupts malloc, free, or another fork. The child returns from the handler, so what was
   interrupted goes on there as well, and must leave a heap that works. With the argument "threads" others allocate
   meanwhile; signals then come while nothing forks, since glibc itself does not allow that in a program with threads. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { SIGNALS = 150, OBJECTS = 500, PATIENCE = 100 };

static volatile sig_atomic_t signals, in_child;
static volatile int stop;
static int with_threads;

static void wait_for(pid_t pid) {
    int status;
    pid_t ended;
    do ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    /* Between fork and here a signal made this another process. */
    if (in_child && ended < 0 && errno == ECHILD) return;
    CHECK(ended == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Each child ends with its parent, whom a watch ends at last. */
static pid_t fork_on_a_leash(void) {
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
    return pid;
}

/* A signal comes 20 to 120 microseconds from now. */
static void arm(void) {
    struct itimerval when = {{0, 0}, {0, 20 + signals * 37 % 100}};
    CHECK(setitimer(ITIMER_REAL, &when, NULL) == 0);
}

static void handler(int number) {
    (void)number;
    int saved = errno;
    signals++;
    pid_t pid = fork_on_a_leash();
    if (pid == 0) {
        in_child = 1;
        /* In half of the children a second process does the rest. */
        if (signals % 2) pid = fork_on_a_leash();
    }
    if (pid != 0) {
        wait_for(pid);
        if (in_child) _exit(0);
        arm();
    }
    errno = saved;
}

static void no_signals(int how) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGALRM);
    CHECK(pthread_sigmask(how, &set, NULL) == 0);
}

static uint64_t next(uint64_t *r) {
    *r = *r * 6364136223846793005u + 1442695040888963407u;
    return *r >> 33;
}

static void replace(char **place, uint64_t *r) {
    char *object = *place;
    *place = NULL;
    if (object) CHECK(object[0] == 7);
    free(object);
    /* Small ones, runs of pages, and some that share nothing. */
    size_t size = next(r) % 4 ? next(r) % 600 : next(r) % 70000;
    object = malloc(size + 1);
    CHECK(object != NULL);
    object[0] = object[size] = 7;
    *place = object;
}

static void *busy(void *seed) {
    uint64_t r = (uintptr_t)seed + 1;
    char *table[100] = {0};
    while (!stop) replace(&table[next(&r) % 100], &r);
    for (int i = 0; i < 100; i++) free(table[i]);
    return NULL;
}

static void *briefly(void *seed) {
    uint64_t r = (uintptr_t)seed + 1;
    char *table[100] = {0};
    for (int i = 0; i < 3000; i++) replace(&table[next(&r) % 100], &r);
    for (int i = 0; i < 100; i++) free(table[i]);
    return NULL;
}

/* What each child does once it is back in the loop. */
static void prove(char **objects, uint64_t r) {
    for (int i = 0; i < 2000; i++) replace(&objects[next(&r) % OBJECTS], &r);
    pthread_t t;
    CHECK(pthread_create(&t, NULL, briefly, (void *)(uintptr_t)1) == 0);
    briefly((void *)(uintptr_t)2);
    CHECK(pthread_join(t, NULL) == 0);
    for (int i = 0; i < OBJECTS; i++) free(objects[i]);
    malloc_trim(0);
    pid_t pid = fork_on_a_leash();
    if (pid == 0) {
        briefly((void *)(uintptr_t)3);
        _exit(0);
    }
    wait_for(pid);
    _exit(0);
}

static void other_fork(void) {
    if (with_threads) no_signals(SIG_BLOCK);
    pid_t pid = fork_on_a_leash();
    if (pid == 0) _exit(0);
    wait_for(pid);
    if (with_threads) no_signals(SIG_UNBLOCK);
}

int main(int argc, char **argv) {
    check_is_neap();
    with_threads = argc > 1 && strcmp(argv[1], "threads") == 0;
    pid_t self = getpid(), watch = fork_on_a_leash();
    if (watch == 0) {
        sleep(PATIENCE);
        kill(self, SIGKILL);
        _exit(0);
    }
    /* The other threads are never interrupted. */
    no_signals(SIG_BLOCK);
    pthread_t threads[2];
    if (with_threads)
        for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, busy, (void *)(intptr_t)i) == 0);
    struct sigaction action = {.sa_handler = handler};
    CHECK(sigaction(SIGALRM, &action, NULL) == 0);
    static char *objects[OBJECTS];
    uint64_t r = 1;
    arm();
    no_signals(SIG_UNBLOCK);
    for (unsigned round = 0; in_child || signals < SIGNALS; round++) {
        replace(&objects[next(&r) % OBJECTS], &r);
        if (round % 256 == 0) malloc_trim(0);
        if (round % 64 == 0 && !in_child) other_fork();
        if (in_child) prove(objects, r);
    }
    no_signals(SIG_BLOCK);
    if (in_child) prove(objects, r);
    for (int i = 0; i < OBJECTS; i++) free(objects[i]);
    stop = 1;
    if (with_threads)
        for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(kill(watch, SIGKILL) == 0 && waitpid(watch, NULL, 0) == watch);
    return 0;
}
