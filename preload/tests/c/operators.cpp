// C++: every form of operator new and delete, exceptions, new-handlers, thread-local destructors.
#include "check.h"
#include <map>
#include <memory>
#include <new>
#include <string>
#include <thread>
#include <vector>

static const std::size_t TOO_MUCH = std::size_t(1) << 60;

struct Plain { char bytes[100]; };
struct alignas(256) Aligned { char bytes[300]; };

static int unwound;
struct Guard { ~Guard() { unwound++; } };

// An exception must pass through the frames between operator new and here, and run their destructors.
__attribute__((noinline)) static void fail_under_guard() {
    Guard guard;
    hide(::operator new(hide_size(TOO_MUCH)));
}

static int handled;
static void give_up_after_three() {
    if (++handled == 3) throw std::bad_alloc();
}

template <typename F> static void expect_bad_alloc(F f) {
    bool caught = false;
    try {
        f();
    } catch (const std::bad_alloc &) {
        caught = true;
    }
    CHECK(caught);
}

static thread_local std::vector<std::string> strings;

int main() {
    check_is_neap();
    for (std::size_t size : {0, 1, 16, 100, 5000, 40000, 1000000}) {
        void *p = hide(::operator new(size)), *q = hide(::operator new[](size));
        CHECK(p && q && p != q && aligned_to(p, 16) && aligned_to(q, 16));
        ::operator delete(p);
        ::operator delete[](q);
        p = hide(::operator new(size)), q = hide(::operator new[](size));
        ::operator delete(p, size);
        ::operator delete[](q, size);
        p = hide(::operator new(size, std::nothrow)), q = hide(::operator new[](size, std::nothrow));
        CHECK(p && q);
        ::operator delete(p, std::nothrow);
        ::operator delete[](q, std::nothrow);
        for (std::size_t align : {16, 64, 4096, 65536}) {
            std::align_val_t a{align};
            p = hide(::operator new(size, a)), q = hide(::operator new[](size, a));
            CHECK(aligned_to(p, align) && aligned_to(q, align));
            ::operator delete(p, a);
            ::operator delete[](q, a);
            p = hide(::operator new(size, a)), q = hide(::operator new[](size, a));
            ::operator delete(p, size, a);
            ::operator delete[](q, size, a);
            p = hide(::operator new(size, a, std::nothrow)), q = hide(::operator new[](size, a, std::nothrow));
            CHECK(p && q && aligned_to(p, align) && aligned_to(q, align));
            ::operator delete(p, a, std::nothrow);
            ::operator delete[](q, a, std::nothrow);
        }
    }
    for (int i = 0; i < 1000; i++) {
        auto plain = std::make_unique<Plain>();
        auto aligned = std::make_unique<Aligned>();
        CHECK(aligned_to(aligned.get(), 256));
        auto many = std::make_unique<Aligned[]>(3);
        CHECK(aligned_to(many.get(), 256));
    }

    expect_bad_alloc([] { fail_under_guard(); });
    CHECK(unwound == 1);
    expect_bad_alloc([] { hide(::operator new[](hide_size(TOO_MUCH))); });
    expect_bad_alloc([] { hide(::operator new(hide_size(TOO_MUCH), std::align_val_t(64))); });
    expect_bad_alloc([] { hide(::operator new[](hide_size(TOO_MUCH), std::align_val_t(64))); });
    CHECK(::operator new(hide_size(TOO_MUCH), std::nothrow) == nullptr);
    CHECK(::operator new[](hide_size(TOO_MUCH), std::nothrow) == nullptr);
    CHECK(::operator new(hide_size(TOO_MUCH), std::align_val_t(64), std::nothrow) == nullptr);

    std::set_new_handler(give_up_after_three);
    expect_bad_alloc([] { hide(::operator new(hide_size(TOO_MUCH))); });
    CHECK(handled == 3);
    handled = 0;
    expect_bad_alloc([] { hide(::operator new(hide_size(TOO_MUCH), std::align_val_t(128))); });
    CHECK(handled == 3);
    handled = 0;
    CHECK(::operator new(hide_size(TOO_MUCH), std::nothrow) == nullptr);
    CHECK(handled == 3);
    handled = 0;
    CHECK(::operator new(hide_size(TOO_MUCH), std::align_val_t(128), std::nothrow) == nullptr);
    CHECK(handled == 3);
    std::set_new_handler(nullptr);

    std::map<std::string, std::vector<std::string>> table;
    for (int i = 0; i < 20000; i++) table[std::to_string(i % 3000)].push_back(std::string(std::size_t(i % 100), 'x'));
    std::size_t total = 0;
    for (auto &[key, list] : table)
        for (auto &text : list) total += text.size();
    CHECK(total == 20000 / 100 * (99 * 100 / 2));

    for (int round = 0; round < 100; round++) {
        std::thread([] {
            for (int i = 0; i < 200; i++) strings.push_back(std::string(100, 'y'));
        }).join();
    }
    return 0;
}
