#!/usr/bin/env bash
# Runs well-known programs on libneap by LD_PRELOAD. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly USAGE="usage: scripts/preload_programs.sh [LOAD...]

Runs real programs as they are and with libneap preloaded, compares what they say, and prints elapsed time, processor
time and peak RSS (of the largest process) of both. Fails if anything differs or fails. With names, only those loads:
python-json, python-gc, python-threads, python-fork, perl, sqlite, git, gcc, g++, rustc, node, redis, postgres, stress.

A program that is missing is installed with apt-get when run as root; otherwise that is an error, and so is a program
that turns out not to use the library. LIBNEAP names the library; without it the profile preload is built. One run
each: times within a tenth of each other are the same."

# Each line: load, the command whose process must use the library, and the Debian package that has it.
readonly LOADS=(
    "python-json python3 libpython3-testsuite"
    "python-gc python3 libpython3-testsuite"
    "python-threads python3 libpython3-testsuite"
    "python-fork python3 libpython3-testsuite"
    "perl perl perl"
    "sqlite sqlite3 sqlite3"
    "git git git"
    "gcc gcc gcc"
    "g++ g++ g++"
    "rustc cargo cargo"
    "node node nodejs"
    "redis redis-server redis"
    "postgres psql postgresql"
    "stress stress-ng stress-ng"
)

readonly ROOT=$PWD
export LC_ALL=C
export PYTHONHASHSEED=0

fail() {
    printf 'preload_programs.sh: %s\n' "$1" >&2
    exit 1
}

need() {
    local command=$1 package=$2
    command -v "$command" >/dev/null && return
    [[ $(id -u) == 0 ]] || fail "$command is missing, and only root can install it (package $package)"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$package" >"$WORK/apt.log" 2>&1 ||
        fail "cannot install $package, see $WORK/apt.log"
    command -v "$command" >/dev/null || fail "$package is installed, but $command is still missing"
}

# Must run as the child of a load: says on stderr that it uses the library, by way of a variable that it does not know.
expect_library() {
    local command=$1
    [[ $(NEAP_PROOF=1 LD_PRELOAD=$LIBRARY "$command" --version 2>&1) == *NEAP_PROOF* ]] ||
        fail "$command does not use the library"
}

# Each load writes to standard output what is to be compared; whatever else it says goes to stderr, into a log.

python_tests() {
    # The result line says how many tests ran; the times in the rest differ.
    python3 -m test -q "$@" 2>&1 | tee /dev/stderr | grep -E '^(Total|Result|== Tests result|Tests result|[0-9]+ test)' |
        sed 's/ in .*//; s/duration.*//'
}

load_python-json() { python_tests test_json test_pickle test_dict test_unicode; }
load_python-gc() { python_tests test_gc test_weakref test_descr; }
load_python-threads() {
    # One test cannot pass where the site's own start-up code imports threading.
    python_tests test_thread test_threading -i test_import_from_another_thread
}

load_python-fork() {
    python_tests test_fork1
    # What test_multiprocessing_fork.py consists of, which not every package has.
    cat >"$WORK/processes.py" <<'END'
import test._test_multiprocessing, unittest
test._test_multiprocessing.install_tests_in_module_dict(globals(), 'fork')
if __name__ == '__main__':
    # Of the pools those of processes: on one of threads, terminate may have to wait for hundreds of sleeps.
    patterns = ['WithProcesses' + name for name in ('TestQueue', 'TestLock', 'TestPool', 'TestProcess')]
    unittest.main(argv=['processes'] + [word for p in patterns for word in ('-k', p)])
END
    python3 "$WORK/processes.py" 2>&1 | tee /dev/stderr | grep -E '^(Ran|OK|FAILED)' | sed 's/ in .*//'
}

load_perl() {
    perl -e '
        my ($r, %h, @kept) = (1);
        for my $i (1 .. 400_000) {
            $r = ($r * 1103515245 + 12345) % 2147483648;
            my $key = join("-", $r % 5000, "x" x ($r % 60));
            push @{$h{$key}}, { n => $i, text => "line $i " . ("ab" x ($r % 30)) };
            delete $h{$key} if @{$h{$key}} > 6;
        }
        for my $key (sort keys %h) {
            my $text = join ",", map { $_->{text} } @{$h{$key}};
            $text =~ s/(ab)+/<$1>/g;
            push @kept, length $text;
        }
        my $sum = 0;
        $sum += $_ for @kept;
        print scalar(keys %h), " $sum\n";'
}

load_sqlite() {
    sqlite3 :memory: "
        create table t (id integer primary key, k integer, name text);
        with recursive c(n) as (select 1 union all select n + 1 from c where n < 300000)
            insert into t select n, (n * 7919) % 10007, printf('name %d %d', n % 977, n) from c;
        create index by_k on t (k);
        create index by_name on t (name);
        select count(*), sum(length(name)) from t;
        select k, count(*), group_concat(id) from t where k < 20 group by k order by k;
        select a.name, b.name from t a join t b on a.k = b.id where a.id % 5000 = 1 order by a.name;
        delete from t where id % 3 = 0;
        update t set name = name || name where k % 2 = 0;
        select count(*), sum(length(name)) from t;" | sha256sum
}

load_git() {
    rm -rf "$WORK/clone"
    git log -p --stat --all -C | sha256sum
    git clone -q --no-local "$ROOT" "$WORK/clone"
    git -C "$WORK/clone" repack -q -a -d -f --threads=2 --depth=50 --window=50
    git -C "$WORK/clone" fsck --full 2>/dev/null
    git -C "$WORK/clone" rev-list --objects --all | sha256sum
    git -C "$WORK/clone" blame Cargo.toml | sha256sum
}

load_gcc() {
    awk 'BEGIN {
        print "#include <stdio.h>\n#include <string.h>"
        for (i = 0; i < 900; i++) {
            printf "struct s%d { int a[%d]; const char *n; double d; };\n", i, i % 9 + 1
            printf "int f%d(struct s%d *p, int x) {\n  int sum = x;\n", i, i
            printf "  for (int i = 0; i < %d; i++) { p->a[i] += sum * %d; sum ^= p->a[i] >> (i & 7); }\n", i % 9 + 1, i
            printf "  switch (sum %% 5) { case 0: return sum + (int)strlen(p->n); case 1: p->d *= 1.5; break;\n"
            printf "    case 2: printf(\"%%d f%d\\n\", sum); break; default: sum -= %d; }\n  return sum;\n}\n", i, i
        }
    }' >"$WORK/big.c"
    gcc -O2 -g -c "$WORK/big.c" -o "$WORK/big.o"
    sha256sum <"$WORK/big.o"
}

load_g++() {
    {
        printf '#include <algorithm>\n#include <functional>\n#include <iostream>\n#include <map>\n#include <memory>\n'
        printf '#include <regex>\n#include <set>\n#include <string>\n#include <unordered_map>\n#include <vector>\n'
        awk 'BEGIN {
            for (i = 0; i < 20; i++) {
                printf "template <int N> struct T%d { std::map<std::string, std::vector<int>> m;", i
                printf " int go() { m[std::to_string(N)].push_back(N); std::function<int(int)> f = [this](int x) {"
                printf " return x + (int)m.size(); }; return f(N) + T%d<N - 1>().go(); } };\n", i
                printf "template <> struct T%d<0> { int go() { return 0; } };\nint t%d() { return T%d<12>().go(); }\n", i, i, i
            }
            print "bool match(const std::string &s) { return std::regex_match(s, std::regex(\"[a-z]+[0-9]*\")); }"
        }'
    } >"$WORK/big.cpp"
    g++ -std=c++17 -O1 -g -c "$WORK/big.cpp" -o "$WORK/big.o"
    sha256sum <"$WORK/big.o"
}

load_rustc() {
    rm -rf "$WORK/rustc"
    cargo build --quiet --release --jobs 2 --package neap --target-dir "$WORK/rustc"
    sha256sum <"$(find "$WORK/rustc/release/deps" -name 'libneap-*.rlib')"
}

load_node() {
    node -e '
        let r = 1, table = new Map(), buffers = [], total = 0;
        for (let i = 0; i < 600000; i++) {
            r = (Math.imul(r, 1103515245) + 12345) >>> 0;
            table.set("key" + r % 50000, { i, text: "x".repeat(r % 80), list: [r, i, r ^ i] });
            if (i % 500 == 0) buffers[r % 400] = Buffer.alloc(1000 + r % 200000, i & 255);
        }
        const text = JSON.stringify([...table.entries()].sort((a, b) => a[0] < b[0] ? -1 : 1));
        for (const b of buffers) if (b) total += b.length + b[b.length - 1];
        const zlib = require("zlib"), packed = zlib.gzipSync(text);
        const hash = require("crypto").createHash("sha256").update(zlib.gunzipSync(packed)).digest("hex");
        console.log(text.length, JSON.parse(text).length, total, hash);'
}

load_redis() {
    local port=$((20000 + RANDOM % 20000)) server
    redis-server --port "$port" --bind 127.0.0.1 --save '' --appendonly no --dir "$WORK" >"$WORK/redis.log" &
    server=$!
    # The tools' own memory is not what is measured.
    (
        unset LD_PRELOAD
        until redis-cli -p "$port" ping >/dev/null 2>&1; do
            kill -0 "$server" || exit 1
            sleep 0.05
        done
        redis-benchmark -p "$port" -q -c 20 -n 60000 -r 30000 -d 200 -t set,get,lpush,lpop,sadd,hset,zadd >&2
        redis-cli -p "$port" flushall
        awk 'BEGIN { for (i = 0; i < 150000; i++) {
            printf "SET key:%d %d%s\n", i % 40000, i, substr("abcdefghijklmnopqrstuvwxyz", 1, i % 26)
            printf "LPUSH list:%d %d\n", i % 97, i
            if (i % 3 == 0) printf "HSET hash:%d f%d %d\n", i % 1009, i % 50, i
            if (i % 5 == 0) printf "ZADD z:%d %d m%d\n", i % 53, i % 1000, i
            if (i % 7 == 0) printf "DEL key:%d\n", i % 30000
            if (i % 11 == 0) printf "APPEND key:%d tail\n", i % 9000
        } }' | redis-cli -p "$port" --pipe >/dev/null
        redis-cli -p "$port" dbsize
        redis-cli -p "$port" debug digest
        redis-cli -p "$port" memory purge >/dev/null
        redis-cli -p "$port" shutdown nosave >&2 || true
    )
    wait "$server"
}

load_postgres() {
    local bin data=$WORK/postgres port=$((20000 + RANDOM % 20000)) as=()
    bin=$(echo /usr/lib/postgresql/*/bin)
    bin=${bin%% *}
    rm -rf "$data"
    mkdir "$data"
    if [[ $(id -u) == 0 ]]; then
        chown postgres "$data"
        as=(setpriv --reuid postgres --regid postgres --clear-groups)
    fi
    "${as[@]}" "$bin/initdb" -D "$data/db" -A trust --no-sync >&2
    "${as[@]}" "$bin/pg_ctl" -D "$data/db" -w -l "$data/log" -o "-p $port -k $data -c fsync=off -c listen_addresses=" start >&2
    local psql=("${as[@]}" "$bin/psql" -h "$data" -p "$port" -q -A -t postgres)
    "${as[@]}" "$bin/pgbench" -h "$data" -p "$port" -i -s 4 -q postgres >&2
    "${as[@]}" "$bin/pgbench" -h "$data" -p "$port" -n -c 4 -j 2 -t 1500 --random-seed=7 postgres >&2
    "${psql[@]}" -c 'select count(*), sum(abalance) from pgbench_accounts' \
        -c 'select count(*), sum(delta) from pgbench_history' \
        -c "select md5(string_agg(x::text, ',' order by x)) from generate_series(1, 200000) x" \
        -c 'select bid, count(*), avg(aid) from pgbench_accounts group by bid order by bid'
    "${as[@]}" "$bin/pg_ctl" -D "$data/db" -w -m fast stop >&2
}

load_stress() {
    stress-ng --malloc 2 --malloc-ops 100000 --malloc-pthreads 2 --malloc-max 2000 --timeout 30 --verify >&2
    stress-ng --malloc 1 --malloc-ops 20000 --malloc-bytes 2M --malloc-max 200 --malloc-touch --timeout 20 --verify >&2
    stress-ng --bigheap 1 --bigheap-ops 2000 --timeout 20 --verify >&2
    echo passed
}

# run LOAD ALLOCATOR: leaves NAME.out, NAME.log and NAME.time.
run() {
    local load=$1 allocator=$2 preload=()
    local base=$WORK/$load-$allocator
    [[ $allocator == neap ]] && preload=(LD_PRELOAD="$LIBRARY")
    if ! /usr/bin/time -q -f '%e %U %S %M' -o "$base.time" \
        env "${preload[@]}" bash "$ROOT/scripts/preload_programs.sh" --load "$load" "$WORK" "$LIBRARY" \
        >"$base.out" 2>"$base.log"; then
        printf '%s on %s failed, see %s.log; its end:\n' "$load" "$allocator" "$base" >&2
        tail -n 20 "$base.log" >&2
        failed=true
    fi
}

row() {
    local load=$1 result=same system neap
    if [[ ! -s $WORK/$load-system.out ]] || ! cmp -s "$WORK/$load-system.out" "$WORK/$load-neap.out"; then
        result=DIFFERENT
        failed=true
        diff "$WORK/$load-system.out" "$WORK/$load-neap.out" | head -n 20 >&2 || true
    elif grep -q '^neap: ' "$WORK/$load-neap.log"; then
        result=WARNED
        failed=true
        grep -m 5 '^neap: ' "$WORK/$load-neap.log" >&2
    fi
    read -r -a system < <(tail -n 1 "$WORK/$load-system.time")
    read -r -a neap < <(tail -n 1 "$WORK/$load-neap.time")
    awk -v load="$load" -v result="$result" -v s="${system[*]}" -v n="${neap[*]}" 'BEGIN {
        split(s, a, " "); split(n, b, " ")
        printf "%-16s %-10s %8.1f %8.1f %8.1f %8.1f %8.1f %8.1f\n", load, result, a[1], b[1], a[2] + a[3], b[2] + b[3],
            a[4] / 1024, b[4] / 1024
    }' >>"$WORK/table"
}

main() {
    case ${1-} in
    -h | --help)
        printf '%s\n' "$USAGE"
        return
        ;;
    --load)
        # A load in a process of its own, so that its time and memory are told apart from this script's.
        WORK=$3 LIBRARY=$4
        "load_$2"
        return
        ;;
    esac

    # Under /tmp, where a server that gives up root can read it.
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/preload-programs.XXXXXX")
    chmod 755 "$WORK"
    LIBRARY=$WORK/libneap.so
    if [[ -z ${LIBNEAP-} ]]; then
        cargo build --quiet --profile preload --package neap-preload
        LIBNEAP=${CARGO_TARGET_DIR:-target}/preload/libneap.so
    fi
    install -m 755 "$LIBNEAP" "$LIBRARY"

    local entry load command package wanted=" $* "
    failed=false
    : >"$WORK/table"
    need /usr/bin/time time
    for entry in "${LOADS[@]}"; do
        read -r load command package <<<"$entry"
        [[ $# == 0 || $wanted == *" $load "* ]] || continue
        wanted=${wanted/ $load / }
        need "$command" "$package"
        if [[ $load == python-* ]] && ! python3 -c 'import test.test_gc' 2>/dev/null; then
            [[ $(id -u) == 0 ]] || fail "python3 has no test suite (package $package)"
            apt-get install -y -qq "$package" >"$WORK/apt.log" 2>&1 || fail "cannot install $package"
        fi
        expect_library "$command"
        printf '%s\n' "$load" >&2
        run "$load" system
        run "$load" neap
        row "$load"
    done
    [[ $# == 0 || $wanted =~ ^\ *$ ]] || fail "no such load:$wanted"

    printf '%-16s %-10s %17s %17s %17s\n' '' '' 'elapsed, s' 'processor, s' 'peak RSS, MiB'
    printf '%-16s %-10s %8s %8s %8s %8s %8s %8s\n' load output system neap system neap system neap
    cat "$WORK/table"
    if $failed; then
        fail "something failed or differs; everything is in $WORK"
    fi
    rm -rf "$WORK"
}

main "$@"
