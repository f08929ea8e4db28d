#!/usr/bin/env bash
# Lists and counts the instructions of an allocator's shortest paths. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly USAGE="usage: benches/fast_path.sh [--counts] [ALLOCATOR]

Builds a program that makes and drops Box<u64>s on ALLOCATOR (default: neap) in the default release profile and with thin
LTO, prints the listings of its allocation and deallocation (objdump), and counts the instructions of each call and of
a pair (callgrind). Allocators: neap, system, mimalloc3, mimalloc2, jemalloc, snmalloc, rpmalloc, rusty_alloc.

  --counts   no listings
  --help     this text

Needs objdump, nm and c++filt (binutils), and valgrind."

readonly ALLOCATORS=" neap system mimalloc3 mimalloc2 jemalloc snmalloc rpmalloc rusty_alloc "
# Pairs in the shorter of the two runs whose difference is counted: start-up cancels out.
readonly PAIRS=20000

listings=true
allocator=neap
for argument in "$@"; do
    case "$argument" in
        --counts) listings=false ;;
        -h | --help)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
        *)
            if [[ "$argument" == -* || "$ALLOCATORS" != *" $argument "* ]]; then
                printf 'fast_path.sh: "%s" is neither an option nor an allocator\n\n%s\n' "$argument" "$USAGE" >&2
                exit 2
            fi
            allocator=$argument
            ;;
    esac
done
for tool in objdump nm c++filt valgrind; do
    if ! command -v "$tool" >/dev/null; then
        printf 'fast_path.sh: %s is not installed\n' "$tool" >&2
        exit 1
    fi
done

readonly BUILD=${CARGO_TARGET_DIR:-$PWD/target}/compare/build
features=()
if [[ "$allocator" != system ]]; then
    features=(--features "$allocator")
fi

# build PROFILE: silent unless it fails.
build() {
    local said
    if ! said=$(cargo build --manifest-path benches/runner/Cargo.toml --target-dir "$BUILD" --profile "$1" \
        --bin fast_path "${features[@]}" 2>&1); then
        printf '%s\n' "$said" >&2
        exit 1
    fi
}

# list PROGRAM NAME PATTERN: the listings of the functions whose mangled names fit.
list() {
    local program=$1 name=$2 pattern=$3 symbol
    while read -r symbol; do
        printf '\n%s\n' "$name"
        objdump --disassemble="$symbol" --no-show-raw-insn --section=.text "$program" |
            sed -n 's/^ *\([0-9a-f]*\):\t/    \1  /p' | c++filt --format=rust
    done < <(nm "$program" | awk -v pattern="$pattern" '$3 ~ pattern { print $3 }')
}

# count PROGRAM FUNCTION PAIRS [calls]: instructions in all calls of a function, what it calls included.
count() {
    local program=$1 function=$2
    shift 2
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --toggle-collect="$function" "$program" "$@" 2>&1 |
        sed -n 's/^==[0-9]*== Collected : //p'
}

# each PROGRAM FUNCTION [calls]: instructions in a function for one pair.
each() {
    local program=$1 function=$2 more less
    shift 2
    less=$(count "$program" "$function" "$PAIRS" "$@")
    more=$(count "$program" "$function" $((2 * PAIRS)) "$@")
    awk -v more="$more" -v less="$less" -v pairs="$PAIRS" 'BEGIN { printf "%.1f", (more - less) / pairs }'
}

for profile in default lto; do
    build "compare-$profile"
    program=$BUILD/compare-$profile/fast_path
    printf '== %s, profile %s\n' "$allocator" "$profile"
    if $listings; then
        list "$program" '__rust_alloc' '__rust_alloc$'
        list "$program" '__rust_dealloc' '__rust_dealloc$'
        for name in new_box drop_box pairs; do
            # Both ways of mangling put the name's length before it.
            list "$program" "$name" "9fast_path${#name}$name(\$|17h)"
        done
    fi
    printf '\ninstructions, everything included:\n'
    # With LTO the first two are inlined into their callers and may not be called at all.
    for function in __rust_alloc __rust_dealloc new_box drop_box; do
        printf '  %-34s %5s\n' "$function" "$(each "$program" "*$function" calls)"
    done
    printf '  %-34s %5s\n\n' "pair in a loop (the loop: about 4)" "$(each "$program" '*::pairs')"
done
