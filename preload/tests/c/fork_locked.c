/* A library that registered its fork handlers before anything was allocated, and allocates under the lock that they take. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void) { CHECK(pthread_mutex_lock(&mutex) == 0); }
static void unlock(void) { CHECK(pthread_mutex_unlock(&mutex) == 0); }

__attribute__((constructor)) static void early(void) { CHECK(pthread_atfork(lock, unlock, unlock) == 0); }

static void use(void) {
    void *p[200];
    for (int i = 0; i < 200; i++) CHECK((p[i] = hide(malloc((size_t)i * 211 % 40000 + 1))) != NULL);
    for (int i = 0; i < 200; i++) free(p[i]);
}

static volatile int stop;

static void *busy(void *argument) {
    while (!stop) {
        lock();
        use();
        unlock();
    }
    return argument;
}

int main(void) {
    check_is_neap();
    /* Two threads that wait for each other wait for ever. */
    alarm(60);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) CHECK(pthread_create(&threads[i], NULL, busy, NULL) == 0);
    for (int round = 0; round < 100; round++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            alarm(60);
            lock();
            use();
            unlock();
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = 1;
    for (int i = 0; i < 2; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
