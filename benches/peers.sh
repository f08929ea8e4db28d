#!/usr/bin/env bash
# Gets the peers of the comparison that are shared libraries. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly USAGE="usage: benches/peers.sh [--rpmalloc DIR] [--snmalloc DIR]

Gets the allocators that the comparison preloads under the system runner. What is there already is left alone.

  tcmalloc    gperftools' libtcmalloc_minimal.so.4: installed by apt-get where that is possible
  snmalloc    libsnmalloc.so: compiled from the source in the crate snmalloc-sys, which cargo fetches, or from DIR, a
              checkout of snmalloc
  rpmalloc 2  librpmalloc.so: compiled from DIR, a checkout of rpmalloc (its crate has version 1.4 only)

The libraries that are compiled go to compare/lib in the target directory. Needs a C compiler and a C++ compiler."

rpmalloc=""
snmalloc=""
while [[ $# -gt 0 ]]; do
    case "$1" in
        --rpmalloc | --snmalloc)
            [[ $# -ge 2 ]] || { printf 'peers.sh: "%s" needs a directory\n' "$1" >&2 && exit 2; }
            if [[ $1 == --rpmalloc ]]; then rpmalloc=$2; else snmalloc=$2; fi
            shift 2
            ;;
        -h | --help)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
        *)
            printf 'peers.sh: unknown option "%s"\n\n%s\n' "$1" "$USAGE" >&2
            exit 2
            ;;
    esac
done

readonly LIBRARIES="${CARGO_TARGET_DIR:-target}/compare/lib"

tcmalloc() {
    if compgen -G '/usr/lib/*/libtcmalloc_minimal.so.4' >/dev/null; then
        echo "tcmalloc: installed"
    elif command -v apt-get >/dev/null && [[ $EUID -eq 0 ]]; then
        apt-get update -qq && apt-get install -y -qq libtcmalloc-minimal4 && echo "tcmalloc: installed now"
    else
        echo "tcmalloc: install gperftools' libtcmalloc_minimal.so.4 (Debian: apt-get install libtcmalloc-minimal4)"
    fi
}

# The source directory of snmalloc inside the crate that the runner's lock file names.
snmalloc_source() {
    cargo metadata --quiet --locked --format-version 1 --manifest-path benches/runner/Cargo.toml --features snmalloc |
        grep -o '"manifest_path":"[^"]*snmalloc-sys[^"]*"' | head -n 1 | sed 's/.*:"//; s,/Cargo.toml"$,/upstream,'
}

build_snmalloc() {
    local source=${snmalloc:-$(snmalloc_source)}
    if [[ ! -f $source/src/snmalloc/override/new.cc ]]; then
        echo "snmalloc: no source in '$source'"
        return
    fi
    # C's functions and C++'s operators.
    c++ -std=c++20 -O3 -DNDEBUG -fPIC -shared -mcx16 -ftls-model=initial-exec -pthread \
        -fvisibility=hidden '-DSNMALLOC_EXPORT=__attribute__((visibility("default")))' \
        -DSNMALLOC_USE_WAIT_ON_ADDRESS=1 -I "$source/src" \
        "$source/src/snmalloc/override/malloc.cc" "$source/src/snmalloc/override/new.cc" -o "$LIBRARIES/libsnmalloc.so"
    echo "snmalloc: $LIBRARIES/libsnmalloc.so"
}

build_rpmalloc() {
    if [[ -z $rpmalloc ]]; then
        echo "rpmalloc 2: left out (--rpmalloc DIR names a checkout)"
        return
    fi
    cc -std=gnu11 -O3 -DNDEBUG -fPIC -shared -fvisibility=hidden -ftls-model=initial-exec -pthread \
        -D_GNU_SOURCE -DENABLE_PRELOAD=1 -DENABLE_OVERRIDE=1 -I "$rpmalloc/rpmalloc" \
        "$rpmalloc/rpmalloc/rpmalloc.c" -o "$LIBRARIES/librpmalloc.so" -ldl
    echo "rpmalloc 2: $LIBRARIES/librpmalloc.so"
}

main() {
    mkdir -p "$LIBRARIES"
    tcmalloc
    build_snmalloc
    build_rpmalloc
}

main
