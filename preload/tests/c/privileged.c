/* Run with NEAP_SCAVENGER=maybe, which is a warning, and linked with the library: "plain" as what it is, "raised" with the
 * set-user-ID bit of another user, whose environment it must then not listen to. */
#include "check.h"
#include <sys/auxv.h>

int main(int argc, char **argv) {
    CHECK(argc == 2);
    CHECK((getauxval(AT_SECURE) != 0) == (strcmp(argv[1], "raised") == 0));
    check_is_neap();
    puts("done");
    return 0;
}
