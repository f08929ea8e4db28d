#!/usr/bin/env bash
# Compares shared libraries on the C and C++ loads of this folder. See --help.
set -euo pipefail

HERE=$(dirname "${BASH_SOURCE[0]}")
readonly HERE
readonly USAGE="usage: preload/bench/compare.sh [--rounds COUNT] [--load NAME] NAME=LIBRARY...

Runs each load under each library (LD_PRELOAD; an empty LIBRARY is the C library's own malloc), in rounds and in an order
that rotates, and prints the medians of wall time and of CPU time in milliseconds, and of peak RSS in MiB.

  --rounds COUNT  how many rounds [default: 9]
  --load NAME     only that load: pairs, burst, random, factor, cover, handover, handover-8

Example: preload/bench/compare.sh system= neap=target/preload/libneap.so tcmalloc=/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4
Needs a C compiler, a C++ compiler, GNU time, and awk. Relative paths count from the directory of the call."

declare -A COMMANDS=(
    [pairs]="micro pairs 60000000"
    [burst]="micro burst 50000"
    [random]="micro random 10000000"
    [factor]="micro factor 300000"
    [cover]="micro cover 300000"
    [handover]="handover 2 60 60000"
    [handover-8]="handover 8 15 60000"
)
readonly ORDER=(pairs burst random factor cover handover handover-8)

rounds=9
loads=("${ORDER[@]}")
libraries=()
while [[ $# -gt 0 ]]; do
    case "$1" in
        --rounds) rounds=$2 && shift 2 ;;
        --load)
            [[ -v COMMANDS[$2] ]] || { printf 'compare.sh: unknown load "%s"\n\n%s\n' "$2" "$USAGE" >&2 && exit 2; }
            loads=("$2") && shift 2
            ;;
        -h | --help) printf '%s\n' "$USAGE" && exit 0 ;;
        *=*) libraries+=("$1") && shift ;;
        *) printf 'compare.sh: unknown argument "%s"\n\n%s\n' "$1" "$USAGE" >&2 && exit 2 ;;
    esac
done
[[ ${#libraries[@]} -gt 0 ]] || { printf '%s\n' "$USAGE" >&2 && exit 2; }

BUILD=$(mktemp -d)
readonly BUILD
trap 'rm -rf "$BUILD"' EXIT

build() {
    cc -std=gnu11 -O2 -Wall "$HERE/micro.c" -o "$BUILD/micro"
    c++ -std=c++17 -O2 -Wall -fsized-deallocation -pthread "$HERE/handover.cpp" -o "$BUILD/handover"
}

# run LIBRARY COMMAND...: one line of wall seconds, CPU seconds and peak KiB, and the checksum.
run() {
    local library=$1
    shift
    local sum
    sum=$(env ${library:+LD_PRELOAD="$library"} /usr/bin/time -f '%e %U %S %M' -o "$BUILD/time" "$BUILD/$1" "${@:2}")
    awk -v sum="$sum" '{ printf "%s %.2f %s %s\n", $1, $2 + $3, $4, sum }' "$BUILD/time"
}

# median: of the numbers on standard input, one a line.
median() {
    sort -g | awk '{ all[NR] = $1 } END { print NR % 2 ? all[(NR + 1) / 2] : (all[NR / 2] + all[NR / 2 + 1]) / 2 }'
}

main() {
    build
    local load round index name library sum checksum
    for load in "${loads[@]}"; do
        checksum=""
        for ((round = 0; round < rounds; round++)); do
            for ((index = 0; index < ${#libraries[@]}; index++)); do
                name=${libraries[(index + round) % ${#libraries[@]}]%%=*}
                library=${libraries[(index + round) % ${#libraries[@]}]#*=}
                # shellcheck disable=SC2086 # The command is words.
                run "$library" ${COMMANDS[$load]} >"$BUILD/line"
                sum=$(cut -d ' ' -f 4 "$BUILD/line")
                if [[ -n $checksum && $sum != "$checksum" ]]; then
                    printf 'compare.sh: %s under %s: checksum %s, elsewhere %s\n' "$load" "$name" "$sum" "$checksum" >&2
                    exit 1
                fi
                checksum=$sum
                cat "$BUILD/line" >>"$BUILD/$load.$name"
            done
        done
        printf '%s\n  %-16s %10s %10s %10s\n' "$load" "" "wall ms" "CPU ms" "peak MiB"
        for library in "${libraries[@]}"; do
            name=${library%%=*}
            printf '  %-16s %10.0f %10.0f %10.1f\n' "$name" \
                "$(awk '{ print 1000 * $1 }' "$BUILD/$load.$name" | median)" \
                "$(awk '{ print 1000 * $2 }' "$BUILD/$load.$name" | median)" \
                "$(awk '{ print $3 / 1024 }' "$BUILD/$load.$name" | median)"
        done
    done
}

main
