/* The rules of C, POSIX and glibc: zero sizes, alignment, overflow, errno. */
#include "check.h"
#include <limits.h>
#include <unistd.h>

/* C23; not in older C libraries, so that only the loader can find them. */
void free_sized(void *, size_t) __attribute__((weak));
void free_aligned_sized(void *, size_t, size_t) __attribute__((weak));

static void zero_sizes(void) {
    void *p[64];
    for (int i = 0; i < 64; i++) {
        switch (i % 4) {
            case 0: p[i] = hide(malloc(hide_size(0))); break;
            case 1: p[i] = hide(calloc(hide_size(0), 8)); break;
            case 2: p[i] = hide(calloc(8, hide_size(0))); break;
            default: p[i] = hide(realloc(NULL, hide_size(0))); break;
        }
        CHECK(p[i] != NULL);
        CHECK(aligned_to(p[i], 16));
        for (int k = 0; k < i; k++) CHECK(p[k] != p[i]);
    }
    for (int i = 0; i < 64; i++) free(p[i]);
    CHECK(realloc(hide(malloc(10)), hide_size(0)) == NULL);
    void *q = NULL;
    CHECK(posix_memalign(&q, 64, 0) == 0 && q != NULL && aligned_to(q, 64));
    free(q);
    free(NULL);
    free_sized(NULL, 0);
}

static void alignment(void) {
    for (size_t size = 0; size <= 70000; size = size < 1100 ? size + 1 : size + 997) {
        unsigned char *p = hide(malloc(size)), *q = hide(calloc(size, 1));
        CHECK(p != NULL && aligned_to(p, 16) && q != NULL && aligned_to(q, 16));
        CHECK(malloc_usable_size(p) >= size && malloc_usable_size(q) >= size);
        memset(p, 0xa5, malloc_usable_size(p));
        for (size_t i = 0; i < size; i++) CHECK(q[i] == 0);
        free(p);
        free(q);
    }
    CHECK(malloc_usable_size(NULL) == 0);
}

static void alignment_on_request(void) {
    static const size_t sizes[] = {0, 1, 8, 15, 16, 17, 100, 4096, 5000, 32768, 32769, 100000, 3000000};
    for (size_t align = 1; align <= (size_t)64 << 20; align *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            size_t size = sizes[i];
            void *p = NULL;
            int error = posix_memalign(&p, align, size);
            if (align < sizeof(void *)) {
                CHECK(error == EINVAL && p == NULL);
            } else {
                CHECK(error == 0 && p != NULL && aligned_to(p, align) && malloc_usable_size(p) >= size);
                memset(p, 1, size);
                p = realloc(p, size + 1);
                CHECK(p != NULL);
                for (size_t k = 0; k < size; k += 61) CHECK(((char *)p)[k] == 1);
                free(p);
            }
            p = hide(aligned_alloc(align, size));
            CHECK(p != NULL && aligned_to(p, align) && aligned_to(p, 16));
            memset(p, 2, size);
            free_aligned_sized(p, align, size);
            p = hide(memalign(align, size));
            CHECK(p != NULL && aligned_to(p, align));
            memset(p, 3, size);
            free(p);
        }
    }
    void *p = hide(memalign(48, 100));
    CHECK(p != NULL && aligned_to(p, 64));
    free(p);
    errno = 0;
    CHECK(hide(aligned_alloc(hide_size(48), 96)) == NULL && errno == EINVAL);
    void *untouched = &p;
    errno = 77;
    CHECK(posix_memalign(&untouched, 0, 8) == EINVAL && untouched == &p);
    CHECK(posix_memalign(&untouched, 24, 8) == EINVAL && untouched == &p);
    CHECK(posix_memalign(&untouched, 4, 8) == EINVAL && untouched == &p);
    CHECK(errno == 77);
    CHECK(posix_memalign(&untouched, 64, hide_size(SIZE_MAX - 64)) == ENOMEM && untouched == &p);
    CHECK(errno == ENOMEM);
    errno = 0;
    CHECK(hide(memalign(hide_size(SIZE_MAX / 2 + 2), 1)) == NULL && errno == EINVAL);
    CHECK(hide(memalign(hide_size(SIZE_MAX / 2 + 1), 1)) == NULL);

    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    p = hide(valloc(10));
    CHECK(p != NULL && aligned_to(p, page));
    free(p);
    p = hide(pvalloc(page + 1));
    CHECK(p != NULL && aligned_to(p, page) && malloc_usable_size(p) >= 2 * page);
    free(p);
    errno = 0;
    CHECK(hide(pvalloc(hide_size(SIZE_MAX - 10))) == NULL && errno == ENOMEM);
}

static void too_much(void) {
    static const size_t sizes[] = {SIZE_MAX, SIZE_MAX - 4096, (size_t)PTRDIFF_MAX + 1, (size_t)PTRDIFF_MAX,
                                   (size_t)1 << 48};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t size = hide_size(sizes[i]);
        errno = 0;
        CHECK(hide(malloc(size)) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(calloc(size, 1)) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(valloc(size)) == NULL && errno == ENOMEM);
        errno = 0;
        CHECK(hide(aligned_alloc(64, size)) == NULL && errno == ENOMEM);
        char *p = malloc(100);
        memset(p, 5, 100);
        errno = 0;
        CHECK(hide(realloc(p, size)) == NULL && errno == ENOMEM);
        for (int k = 0; k < 100; k++) CHECK(p[k] == 5);
        errno = 0;
        CHECK(reallocarray(p, size, 2) == NULL && errno == ENOMEM);
        CHECK(p[99] == 5);
        free(p);
    }
    errno = 0;
    CHECK(hide(calloc(hide_size((size_t)1 << 33), (size_t)1 << 33)) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(NULL, hide_size((size_t)1 << 33), (size_t)1 << 33) == NULL && errno == ENOMEM);
    int *p = reallocarray(NULL, 10, sizeof *p);
    CHECK(p != NULL);
    p = reallocarray(p, 100000, sizeof *p);
    CHECK(p != NULL);
    free(p);
}

static void content_survives_realloc(void) {
    unsigned char *p = NULL;
    size_t old = 0;
    uint64_t r = 12345;
    for (int i = 0; i < 3000; i++) {
        r = r * 6364136223846793005u + 1442695040888963407u;
        size_t size = 1 + (r >> 33) % (i % 50 == 0 ? 6000000 : i % 5 == 0 ? 60000 : 600);
        p = realloc(p, size);
        CHECK(p != NULL && aligned_to(p, 16) && malloc_usable_size(p) >= size);
        for (size_t k = 0; k < old && k < size; k += 37) CHECK(p[k] == (unsigned char)(k * 7));
        for (size_t k = 0; k < size; k += 37) p[k] = (unsigned char)(k * 7);
        old = size;
    }
    free_sized(p, old);
}

static void zeroed_after_use(void) {
    for (int round = 0; round < 4; round++) {
        for (size_t size = 1; size < 9000000; size = size * 3 + 1) {
            unsigned char *p = malloc(size);
            memset(p, 0xff, size);
            free(p);
            p = calloc(1, size);
            CHECK(p != NULL);
            for (size_t k = 0; k < size; k++) CHECK(p[k] == 0);
            free(p);
        }
        malloc_trim(0);
    }
}

static void errno_survives_free(void) {
    void *p[2000];
    for (int i = 0; i < 2000; i++) p[i] = hide(malloc((size_t)i * 97 % 50000 + 1));
    for (int i = 0; i < 2000; i++) {
        errno = i + 1;
        free(p[i]);
        CHECK(errno == i + 1);
    }
}

static void reports(void) {
    check_is_neap();
    char *p = hide(malloc(5000000));
    memset(p, 1, 5000000);
    struct mallinfo2 info = mallinfo2();
    CHECK(info.uordblks >= 5000000 && info.arena >= info.uordblks);
    free(p);
    CHECK(malloc_trim(0) == 1);
    CHECK(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
    CHECK(malloc_info(1, stderr) == EINVAL);
}

int main(void) {
    zero_sizes();
    alignment();
    alignment_on_request();
    too_much();
    content_survives_realloc();
    zeroed_after_use();
    errno_survives_free();
    reports();
    return 0;
}
