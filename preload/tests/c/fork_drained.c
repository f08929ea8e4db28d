/* fork while another thread drains the forking thread's cache. In the child another library's handler, which was there before
 * the allocator's own, allocates: it must not wait for who drained, who does not exist there. */
#include "check.h"
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

static void use(void) {
    void *p[300];
    for (size_t size = 16; size <= 1024; size *= 2) {
        for (int i = 0; i < 300; i++) {
            p[i] = hide(malloc(size));
            CHECK(p[i] != NULL);
        }
        for (int i = 0; i < 300; i++) free(p[i]);
    }
}

static void child(void) { use(); }

__attribute__((constructor)) static void early(void) { CHECK(pthread_atfork(NULL, NULL, child) == 0); }

static volatile int stop;

static void *drain(void *argument) {
    while (!stop) malloc_trim(0);
    return argument;
}

static volatile pid_t pid;

/* A child that waits for ever has its signals blocked. */
static void end_child(int signal) {
    (void)signal;
    kill(pid, SIGKILL);
}

int main(void) {
    check_is_neap();
    CHECK(signal(SIGALRM, end_child) != SIG_ERR);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, drain, NULL) == 0);
    for (int round = 0; round < 1000; round++) {
        use();
        alarm(60);
        pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            use();
            _exit(0);
        }
        int status;
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    stop = 1;
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
