/* In a fork's child another library's handler, which was registered before anything was allocated, allocates so much that memory
 * has to be given back. The child has one scavenger, and does nothing while idle. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

static void burst(void) {
    static char *parts[8000];
    for (int i = 0; i < 8000; i++) {
        parts[i] = hide(malloc(4000));
        CHECK(parts[i] != NULL);
        memset(parts[i], 1, 4000);
    }
    for (int i = 0; i < 8000; i++) free(parts[i]);
    free(hide(malloc(100000)));
}

static int armed;

static void child(void) {
    if (armed) burst();
}

__attribute__((constructor)) static void early(void) { CHECK(pthread_atfork(NULL, NULL, child) == 0); }

static int scavengers(void) {
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        int file = open(path, O_RDONLY);
        if (file < 0) continue;
        if (read(file, name, sizeof name - 1) > 0 && strncmp(name, "neap-", 5) == 0) count++;
        close(file);
    }
    closedir(tasks);
    return count;
}

static double cpu(void) {
    struct timespec now;
    CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) == 0);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

int main(void) {
    check_is_neap();
    armed = 1;
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        alarm(60);
        int most = 0;
        for (int i = 0; i < 50; i++) {
            burst();
            int now = scavengers();
            if (now > most) most = now;
            usleep(10000);
        }
        CHECK(most == 1);
        /* It gives everything back, and then sleeps: in a tick of one second there is a hundredth of one. */
        double last = cpu();
        int still = 0;
        for (int i = 0; i < 30 && !still; i++) {
            sleep(1);
            double now = cpu();
            still = now - last < 0.01;
            last = now;
        }
        CHECK(still);
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    return 0;
}
