/* The allocator's thread has the scheduling that the process began with, whoever happened to start it. */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>

enum { COUNT = 8000, SIZE = 4000 };

static char *parts[COUNT];

static int scavenger(void) {
    int found = 0;
    DIR *tasks = opendir("/proc/self/task");
    CHECK(tasks != NULL);
    struct dirent *entry;
    while ((entry = readdir(tasks)) != NULL) {
        char path[300], name[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        int file = open(path, O_RDONLY);
        if (file < 0) continue;
        if (read(file, name, sizeof name - 1) > 0 && strncmp(name, "neap-", 5) == 0) found = atoi(entry->d_name);
        close(file);
    }
    closedir(tasks);
    return found;
}

static cpu_set_t all;
static int niceness;

static void *worker(void *argument) {
    struct sched_param parameters = {.sched_priority = 5};
    int is_allowed = sched_setscheduler(0, SCHED_FIFO, &parameters) == 0;
    if (!is_allowed) CHECK(errno == EPERM);
    CHECK(!is_allowed || setpriority(PRIO_PROCESS, (id_t)gettid(), niceness - 5) == 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all)) {
            CPU_SET(cpu, &one);
            break;
        }
    }
    CHECK(sched_setaffinity(0, sizeof one, &one) == 0);
    for (int i = 0; i < COUNT; i++) CHECK((parts[i] = hide(malloc(SIZE))) != NULL);
    for (int i = 0; i < COUNT; i++) free(parts[i]);
    free(hide(malloc(100000)));
    int tid = 0;
    for (int i = 0; i < 5000 && (tid = scavenger()) == 0; i++) usleep(1000);
    CHECK(tid != 0);
    /* It sets its scheduling first thing, but may not have come to it yet. */
    for (int i = 0; i < 5000 && sched_getscheduler(tid) != SCHED_OTHER; i++) usleep(1000);
    CHECK(sched_getscheduler(tid) == SCHED_OTHER);
    cpu_set_t its;
    for (int i = 0; i < 5000; i++) {
        CHECK(sched_getaffinity(tid, sizeof its, &its) == 0);
        if (CPU_EQUAL(&its, &all)) break;
        usleep(1000);
    }
    CHECK(CPU_EQUAL(&its, &all));
    CHECK(getpriority(PRIO_PROCESS, (id_t)tid) == niceness);
    return argument;
}

int main(void) {
    CHECK(sched_getaffinity(0, sizeof all, &all) == 0);
    niceness = getpriority(PRIO_PROCESS, 0);
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, worker, NULL) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    return 0;
}
