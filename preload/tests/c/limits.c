/* With little address space: allocations fail politely, and the program goes on. */
#include "check.h"
#include <sys/resource.h>

int main(void) {
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    check_is_neap();
    void *list[100000];
    int count = 0;
    size_t size = 300000;
    while (count < 100000) {
        errno = 0;
        char *p = malloc(size);
        if (!p) {
            CHECK(errno == ENOMEM);
            break;
        }
        p[0] = p[size - 1] = 1;
        list[count++] = p;
    }
    CHECK(count > 100 && count < 100000);
    for (int i = 0; i < count; i++) free(list[i]);
    char *p = malloc(20 << 20);
    CHECK(p != NULL);
    free(p);
    return 0;
}
