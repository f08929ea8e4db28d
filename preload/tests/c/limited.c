/* Under a limit on address space or data: so many threads allocate and free at the same time, or fewer if there is no room
 * for their stacks. Prints how many. */
#include "check.h"
#include <pthread.h>

enum { MOST = 4 };

static void use(void) {
    void *p[100];
    for (int i = 0; i < 100; i++) {
        p[i] = hide(malloc((size_t)i * 37 % 3000 + 1));
        CHECK(p[i] != NULL);
        memset(p[i], 1, (size_t)i * 37 % 3000 + 1);
    }
    for (int i = 0; i < 100; i++) free(p[i]);
    char *large = hide(malloc(300000));
    CHECK(large != NULL);
    memset(large, 1, 300000);
    free(large);
}

static volatile int go;

static void *worker(void *argument) {
    use();
    while (!go) usleep(100);
    use();
    return argument;
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    int wanted = atoi(argv[1]), started = 0;
    CHECK(wanted <= MOST);
    use();
    pthread_t threads[MOST];
    while (started < wanted && pthread_create(&threads[started], NULL, worker, NULL) == 0) started++;
    go = 1;
    for (int i = 0; i < started; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    use();
    printf("%d\n", started);
    return 0;
}
