/* Libraries that come and go while threads allocate. The argument is the path of part.c's library. */
#include "check.h"
#include <dlfcn.h>
#include <pthread.h>

static const char *path;

static void *load(void *argument) {
    (void)argument;
    for (int round = 0; round < 100; round++) {
        void *handle = dlopen(path, round % 2 ? RTLD_NOW : RTLD_LAZY | RTLD_LOCAL);
        CHECK(handle != NULL);
        char *(*give)(int) = (char *(*)(int))dlsym(handle, "give");
        CHECK(give != NULL);
        char *objects[100];
        for (int i = 0; i < 100; i++) objects[i] = give(i);
        CHECK(dlsym(handle, "no_such_name") == NULL);
        CHECK(dlerror() != NULL);
        CHECK(dlclose(handle) == 0);
        for (int i = 0; i < 100; i++) {
            CHECK(objects[i][99] == i);
            free(objects[i]);
        }
        free(hide(malloc(50000)));
    }
    return NULL;
}

int main(int argc, char **argv) {
    check_is_neap();
    CHECK(argc == 2);
    path = argv[1];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) CHECK(pthread_create(&threads[i], NULL, load, NULL) == 0);
    for (int i = 0; i < 3; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    CHECK(dlopen("/no/such/library.so", RTLD_NOW) == NULL);
    return 0;
}
