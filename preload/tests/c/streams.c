/* fork while other threads flush every stream and read lines: glibc allocates and frees under the lock of the list of
   streams, which fork takes too. */
#include "check.h"
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FORKERS = 2, READERS = 3, ROUNDS = 150, LONG_LINE = 50000, PATIENCE = 60 };

static volatile int stop;
static char path[] = "/tmp/neap-streams-XXXXXX";

static void *flush(void *argument) {
    (void)argument;
    while (!stop) CHECK(fflush(NULL) == 0);
    return NULL;
}

static void read_line(void) {
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    char *line = NULL;
    size_t bytes = 0;
    CHECK(getline(&line, &bytes, f) == LONG_LINE + 1);
    free(line);
    CHECK(fclose(f) == 0);
}

static void *reader(void *argument) {
    (void)argument;
    while (!stop) read_line();
    return NULL;
}

static void wait_for(pid_t pid) {
    int status;
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *forker(void *argument) {
    (void)argument;
    for (int round = 0; round < ROUNDS; round++) {
        pid_t pid = fork();
        if (pid == 0) {
            alarm(PATIENCE);
            /* The list's lock is free here, and so is the heap. */
            read_line();
            CHECK(fflush(NULL) == 0);
            pid_t grandchild = fork();
            if (grandchild == 0) {
                read_line();
                _exit(0);
            }
            wait_for(grandchild);
            _exit(0);
        }
        wait_for(pid);
    }
    return NULL;
}

int main(void) {
    check_is_neap();
    alarm(PATIENCE);
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    FILE *f = fdopen(fd, "w");
    CHECK(f != NULL);
    for (int i = 0; i < LONG_LINE; i++) fputc('x', f);
    fputc('\n', f);
    CHECK(fclose(f) == 0);
    /* The only thread: fork takes no lock of the streams, and the child must find none held. */
    pid_t pid = fork();
    if (pid == 0) {
        read_line();
        CHECK(fflush(NULL) == 0);
        _exit(0);
    }
    wait_for(pid);
    pthread_t others[1 + READERS], forkers[FORKERS];
    CHECK(pthread_create(&others[0], NULL, flush, NULL) == 0);
    for (int i = 1; i <= READERS; i++) CHECK(pthread_create(&others[i], NULL, reader, NULL) == 0);
    for (int i = 0; i < FORKERS; i++) CHECK(pthread_create(&forkers[i], NULL, forker, NULL) == 0);
    for (int i = 0; i < FORKERS; i++) CHECK(pthread_join(forkers[i], NULL) == 0);
    stop = 1;
    for (int i = 0; i <= READERS; i++) CHECK(pthread_join(others[i], NULL) == 0);
    CHECK(unlink(path) == 0);
    return 0;
}
