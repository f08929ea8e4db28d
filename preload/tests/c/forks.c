/* fork while other threads allocate, fork handlers that allocate, vfork and posix_spawn. */
#include "check.h"
#include <pthread.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static int in_prepare, in_parent, in_child;

static void use(void) {
    void *p[300];
    for (int i = 0; i < 300; i++) {
        p[i] = hide(malloc((size_t)i * 211 % 40000 + 1));
        CHECK(p[i] != NULL);
        memset(p[i], i, 1);
    }
    for (int i = 0; i < 300; i++) free(p[i]);
    free(hide(calloc(1, 300000)));
}

static void prepare(void) { in_prepare++; use(); }
static void parent(void) { in_parent++; use(); }
static void child(void) { in_child++; use(); }

/* Before main, as libraries do. */
__attribute__((constructor)) static void early(void) { CHECK(pthread_atfork(prepare, parent, child) == 0); }

static volatile int stop;

static void *busy(void *seed) {
    uint64_t r = (uintptr_t)seed + 1;
    void *table[200] = {0};
    while (!stop) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        size_t place = (r >> 40) % 200;
        free(table[place]);
        table[place] = malloc((r >> 20) % ((r >> 60) ? 300 : 100000) + 1);
        *(char *)table[place] = 1;
    }
    for (int i = 0; i < 200; i++) free(table[i]);
    return NULL;
}

static void wait_for(pid_t pid) {
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void *in_thread(void *argument) {
    (void)argument;
    use();
    return NULL;
}

int main(void) {
    check_is_neap();
    CHECK(pthread_atfork(prepare, parent, child) == 0);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, busy, (void *)(intptr_t)i) == 0);
    for (int round = 0; round < 40; round++) {
        char *kept = malloc(100);
        kept[0] = 42;
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            CHECK(kept[0] == 42);
            free(kept);
            use();
            malloc_trim(0);
            pthread_t t;
            CHECK(pthread_create(&t, NULL, in_thread, NULL) == 0);
            CHECK(pthread_join(t, NULL) == 0);
            pid_t grandchild = fork();
            CHECK(grandchild >= 0);
            if (grandchild == 0) {
                use();
                exit(0);
            }
            wait_for(grandchild);
            exit(0);
        }
        free(kept);
        use();
        wait_for(pid);
    }
    CHECK(in_prepare == 80 && in_parent == 80);
    char *const arguments[] = {"true", NULL};
    for (int round = 0; round < 20; round++) {
        pid_t pid;
        CHECK(posix_spawnp(&pid, "true", NULL, NULL, arguments, environ) == 0);
        wait_for(pid);
        pid = vfork();
        CHECK(pid >= 0);
        if (pid == 0) {
            execvp("true", arguments);
            _exit(1);
        }
        wait_for(pid);
    }
    stop = 1;
    for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    return 0;
}
