/* Loads of small objects for comparing allocators under LD_PRELOAD: `micro LOAD ROUNDS`. Prints nothing but a checksum.
 *
 * pairs     malloc and free of one object, sizes 16 to 256 in turn
 * burst     a thousand objects, then all of them freed
 * random    replaces objects of mixed sizes at random in a table of 10,000
 * factor    long numbers as linked lists of digits, divided over and over: many short-lived objects of a few sizes (like
 *           cfrac, a factoring program much used to compare allocators)
 * cover     sets of bit vectors copied, merged and dropped: many lists of objects of two dozen bytes to a few hundred
 *           (like espresso, a minimiser of logic tables)
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t state = 88172645463325252u;
static uint64_t next(void) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static uint64_t pairs(long rounds) {
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) {
        char *volatile p = malloc(16 + (size_t)(i & 15) * 16);
        p[0] = (char)i;
        sum += (unsigned char)p[0];
        free(p);
    }
    return sum;
}

static uint64_t burst(long rounds) {
    static char *volatile table[1000];
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) {
        for (int k = 0; k < 1000; k++) {
            table[k] = malloc(16 + (size_t)(k & 7) * 8);
            table[k][0] = (char)k;
        }
        for (int k = 0; k < 1000; k++) {
            sum += (unsigned char)table[k][0];
            free(table[k]);
        }
    }
    return sum;
}

static uint64_t random_replace(long rounds) {
    enum { PLACES = 10000 };
    static char *table[PLACES];
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) {
        uint64_t r = next();
        size_t place = r % PLACES, size = 1 + (r >> 32) % ((r >> 20 & 15) ? 256 : 8192);
        if (table[place]) sum += (unsigned char)table[place][0];
        free(table[place]);
        table[place] = malloc(size);
        table[place][0] = (char)i;
        table[place][size - 1] = (char)i;
    }
    for (int k = 0; k < PLACES; k++) {
        free(table[k]);
        table[k] = NULL;
    }
    return sum;
}

/* A number: its length and its digits to base 2^16, lowest first. */
struct number {
    unsigned length;
    uint16_t digit[];
};

static struct number *number(unsigned length) {
    struct number *n = malloc(sizeof *n + length * sizeof n->digit[0]);
    n->length = length;
    return n;
}

static struct number *add_small(const struct number *a, unsigned b) {
    struct number *r = number(a->length + 1);
    uint32_t carry = b;
    for (unsigned i = 0; i < a->length; i++) {
        carry += a->digit[i];
        r->digit[i] = (uint16_t)carry;
        carry >>= 16;
    }
    r->digit[a->length] = (uint16_t)carry;
    if (!carry) r->length--;
    return r;
}

static struct number *multiply_small(const struct number *a, unsigned b) {
    struct number *r = number(a->length + 1);
    uint32_t carry = 0;
    for (unsigned i = 0; i < a->length; i++) {
        carry += (uint32_t)a->digit[i] * b;
        r->digit[i] = (uint16_t)carry;
        carry >>= 16;
    }
    r->digit[a->length] = (uint16_t)carry;
    if (!carry) r->length--;
    return r;
}

static struct number *divide_small(const struct number *a, unsigned b, unsigned *rest) {
    struct number *r = number(a->length);
    uint32_t left = 0;
    for (unsigned i = a->length; i-- > 0;) {
        left = left << 16 | a->digit[i];
        r->digit[i] = (uint16_t)(left / b);
        left %= b;
    }
    while (r->length > 1 && r->digit[r->length - 1] == 0) r->length--;
    *rest = left;
    return r;
}

static uint64_t factor(long rounds) {
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) {
        struct number *n = number(1);
        n->digit[0] = (uint16_t)(i | 1);
        for (unsigned k = 0; k < 12; k++) {
            struct number *product = multiply_small(n, 40009 + 2 * k);
            struct number *more = add_small(product, (unsigned)i & 0xfff);
            free(product);
            free(n);
            n = more;
        }
        for (unsigned divisor = 3; divisor < 65; divisor += 2) {
            unsigned rest;
            struct number *quotient = divide_small(n, divisor, &rest);
            if (rest == 0) {
                free(n);
                n = quotient;
                sum += divisor;
            } else {
                free(quotient);
            }
        }
        sum += n->digit[0];
        free(n);
    }
    return sum;
}

/* A cube of a cover: a bit vector in a list. */
struct cube {
    struct cube *next;
    unsigned words;
    uint32_t bits[];
};

static struct cube *cube(unsigned words) {
    struct cube *c = malloc(sizeof *c + words * sizeof c->bits[0]);
    c->words = words;
    return c;
}

static uint64_t cover(long rounds) {
    uint64_t sum = 0;
    for (long i = 0; i < rounds; i++) {
        unsigned words = 2 + (unsigned)(next() % 14);
        struct cube *list = NULL;
        for (int k = 0; k < 40; k++) {
            struct cube *c = cube(words);
            for (unsigned w = 0; w < words; w++) c->bits[w] = (uint32_t)next() & (uint32_t)next();
            c->next = list;
            list = c;
        }
        for (int pass = 0; pass < 4; pass++) {
            /* Merges neighbours into new cubes, drops those that the merged one covers. */
            struct cube *merged = NULL, **end = &merged;
            while (list) {
                struct cube *a = list, *b = a->next;
                if (!b) {
                    *end = a;
                    end = &a->next;
                    break;
                }
                struct cube *rest = b->next, *c = cube(words);
                unsigned covered = 1;
                for (unsigned w = 0; w < words; w++) {
                    c->bits[w] = a->bits[w] | b->bits[w];
                    covered &= c->bits[w] == a->bits[w];
                }
                *end = c;
                end = &c->next;
                if (!covered && pass == 0) {
                    *end = a;
                    end = &a->next;
                } else {
                    free(a);
                }
                free(b);
                list = rest;
            }
            *end = NULL;
            list = merged;
        }
        while (list) {
            struct cube *after = list->next;
            sum += list->bits[0] & 0xff;
            free(list);
            list = after;
        }
    }
    return sum;
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    long rounds = atol(argv[2]);
    uint64_t sum = 0;
    if (!strcmp(argv[1], "pairs")) sum = pairs(rounds);
    else if (!strcmp(argv[1], "burst")) sum = burst(rounds);
    else if (!strcmp(argv[1], "random")) sum = random_replace(rounds);
    else if (!strcmp(argv[1], "factor")) sum = factor(rounds);
    else if (!strcmp(argv[1], "cover")) sum = cover(rounds);
    else return 2;
    printf("%llu\n", (unsigned long long)sum);
    return 0;
}
