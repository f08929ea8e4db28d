/* Threads that end and hand their objects on, for comparing allocators under LD_PRELOAD: `handover THREADS LIVES STEPS`.
 *
 * Each of THREADS lines of threads has a table of objects of 16 to 900 bytes. A thread replaces STEPS objects at random
 * places, then ends; the next thread of the line takes the table over and so frees what an ended thread allocated. After
 * LIVES threads the line is over. Objects come from operator new and go back by sized delete. Larson and Krishnan's
 * measurements of servers (1998) made this kind of load known.
 *
 * Each object carries its size and a mark at its end, which are checked when it is freed. Prints only a checksum.
 */
#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace {

constexpr size_t PLACES = 4000;

struct Object {
    uint32_t bytes;
    uint32_t mark;
};

struct Line {
    Object *table[PLACES] = {};
    uint64_t state;
    uint64_t sum = 0;

    explicit Line(uint64_t seed) : state(88172645463325252u + seed * 2654435761u) {}

    uint64_t next() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        return state;
    }

    void put(size_t place) {
        uint64_t random = next();
        size_t bytes = 16 + random % 885;
        auto *object = static_cast<Object *>(::operator new(bytes));
        object->bytes = static_cast<uint32_t>(bytes);
        object->mark = static_cast<uint32_t>(random >> 32);
        reinterpret_cast<char *>(object)[bytes - 1] = static_cast<char>(bytes);
        table[place] = object;
    }

    void drop(size_t place) {
        Object *object = table[place];
        size_t bytes = object->bytes;
        if (reinterpret_cast<char *>(object)[bytes - 1] != static_cast<char>(bytes)) {
            fputs("handover: an object has changed\n", stderr);
            abort();
        }
        sum += object->mark;
        ::operator delete(object, bytes);
        table[place] = nullptr;
    }
};

/* Counts the lines that are not over yet. */
class Latch {
    std::mutex mutex;
    std::condition_variable changed;
    long left;

  public:
    explicit Latch(long count) : left(count) {}

    void count_down() {
        std::lock_guard<std::mutex> guard(mutex);
        left--;
        changed.notify_one();
    }

    void wait() {
        std::unique_lock<std::mutex> guard(mutex);
        changed.wait(guard, [this] { return left == 0; });
    }
};

/* One thread of a line. It starts the next thread as its last act, and nobody waits for it. */
void live(Line *line, long lives, long steps, Latch *over) {
    for (long step = 0; step < steps; step++) {
        size_t place = line->next() % PLACES;
        line->drop(place);
        line->put(place);
    }
    if (lives > 1) {
        std::thread(live, line, lives - 1, steps, over).detach();
    } else {
        over->count_down();
    }
}

} // namespace

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    long threads = atol(argv[1]), lives = atol(argv[2]), steps = atol(argv[3]);
    if (threads < 1 || lives < 1 || steps < 0) return 2;
    std::vector<Line> lines;
    for (long i = 0; i < threads; i++) lines.emplace_back(static_cast<uint64_t>(i));
    Latch over(threads);
    for (Line &line : lines) {
        for (size_t place = 0; place < PLACES; place++) line.put(place);
    }
    for (Line &line : lines) std::thread(live, &line, lives, steps, &over).detach();
    over.wait();
    uint64_t sum = 0;
    for (Line &line : lines) {
        for (size_t place = 0; place < PLACES; place++) line.drop(place);
        sum += line.sum;
    }
    printf("%llu\n", static_cast<unsigned long long>(sum));
    return 0;
}
