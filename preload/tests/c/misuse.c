/* What must end the process with one line: the argument says what to do wrong. */
#include "check.h"

int main(int argc, char **argv) {
    check_is_neap();
    CHECK(argc == 2);
    if (!strcmp(argv[1], "double-large")) {
        char *p = hide(malloc(100000));
        free(p);
        free(hide(p));
    } else if (!strcmp(argv[1], "double-small")) {
        char *p = hide(malloc(100));
        free(p);
        free(hide(p));
        malloc_trim(0);
    } else if (!strcmp(argv[1], "stack")) {
        char on_stack[64];
        free(hide(on_stack));
    } else if (!strcmp(argv[1], "inside-large")) {
        char *p = hide(malloc(100000));
        free(hide(p + 64));
    } else if (!strcmp(argv[1], "wild")) {
        free(hide((void *)-16));
    } else if (!strcmp(argv[1], "foreign-size")) {
        static char data[64];
        malloc_usable_size(hide(data + 16));
    }
    return 0;
}
