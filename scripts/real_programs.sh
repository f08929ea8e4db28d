#!/usr/bin/env bash
# Runs well-known Rust programs, and the test suites of well-known libraries, on neap. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly USAGE="usage: scripts/real_programs.sh [NAME...]

Fetches real Rust programs and libraries from crates.io at fixed versions, builds each one twice (as it is, and with the
one line that makes neap its global allocator) and compares what the two say about the same inputs. Nothing else in
them is changed. Prints a table; fails if anything differs. With names, only those: ripgrep, tokei, oxipng, serde_json,
rayon.

Everything happens in real-programs/ of the target directory; remove that folder to start afresh."

# Each line: name, version, and the file that gets the line. What is run with each is in exercise_NAME below.
readonly PROGRAMS=(
    "ripgrep 15.2.0 crates/core/main.rs"
    "tokei 15.0.0 src/main.rs"
    "oxipng 10.2.1 src/main.rs"
)
# Libraries whose own test suites are run: the same, and which of their tests. (Building rayon's sixteen files of further
# tests takes longer than all the rest here.)
readonly LIBRARIES=(
    "serde_json 1.0.154 src/lib.rs --tests"
    "rayon 1.12.0 src/lib.rs --lib"
)

readonly ROOT=$PWD
readonly WORK=${CARGO_TARGET_DIR:-$ROOT/target}/real-programs
readonly INPUTS=$WORK/inputs

# Short builds matter more here than the last percent of speed, and one profile for all shares what they have in common.
export CARGO_TARGET_DIR=$WORK/build
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1
export CARGO_PROFILE_RELEASE_LTO=off
export CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_PROFILE_RELEASE_DEBUG=0
export CARGO_PROFILE_RELEASE_STRIP=none
export CARGO_PROFILE_RELEASE_PANIC=unwind
export LC_ALL=C

rows=""
failed=false

fail() {
    printf 'real_programs.sh: %s\n' "$1" >&2
    exit 1
}

# One package that depends on all of them, so that cargo fetches them and tells where they are.
fetch() {
    local entry name version
    mkdir -p "$WORK/fetch"
    {
        printf '[package]\nname = "fetch"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
        printf '[lib]\npath = "lib.rs"\n[dependencies]\n'
        for entry in "${PROGRAMS[@]}" "${LIBRARIES[@]}"; do
            read -r name version _ <<<"$entry"
            printf '%s = "=%s"\n' "$name" "$version"
        done
    } >"$WORK/fetch/Cargo.toml"
    : >"$WORK/fetch/lib.rs"
    # Cargo warns that a program is no library to depend on; it is not going to be built.
    (cd "$WORK/fetch" && cargo fetch --quiet)
}

# The folder into which cargo has unpacked a package.
source_of() {
    local name=$1 version=$2 manifest
    manifest=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -maxdepth 3 -path "*/$name-$version/Cargo.toml" -print -quit)
    [[ -n $manifest ]] || fail "cargo has not unpacked $name $version"
    dirname "$manifest"
}

# What the programs read: pictures made here, and source text that is the same in every run.
make_inputs() {
    local entry name version
    rm -rf "$INPUTS"
    mkdir -p "$INPUTS/text/neap"
    rustc --edition 2024 -O -o "$WORK/make-inputs" scripts/real_programs/inputs.rs
    "$WORK/make-inputs" "$INPUTS/images"
    cp -r src tests "$INPUTS/text/neap"
    for entry in "${PROGRAMS[@]}" "${LIBRARIES[@]}"; do
        read -r name version _ <<<"$entry"
        cp -r "$(source_of "$name" "$version")" "$INPUTS/text"
    done
}

# copy NAME VERSION MAIN ALLOCATOR FOLDER: a copy to build, with neap as its global allocator where asked.
copy() {
    local name=$1 version=$2 main=$3 allocator=$4 folder=$5
    rm -rf "$folder"
    mkdir -p "$(dirname "$folder")"
    cp -r "$(source_of "$name" "$version")" "$folder"
    printf '\n[workspace]\n' >>"$folder/Cargo.toml"
    if [[ $allocator == neap ]]; then
        printf '\n[dependencies.neap]\npath = "%s"\n' "$ROOT" >>"$folder/Cargo.toml"
        printf '\n#[global_allocator]\nstatic NEAP: neap::Neap = neap::Neap::new();\n' >>"$folder/$main"
    fi
}

# The allocator of the binaries named on stdin, told by the crate's mangled names: neap if any of them holds it.
allocator_of() {
    local binary found=system
    while read -r binary; do
        if grep -aq '4neap' "$binary"; then
            found=neap
        fi
    done
    echo "$found"
}

# The binaries that cargo's messages in build.json name. A test that does not use its library does not hold neap either.
binaries() {
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' "$WORK/build.json"
}

expect_allocator() {
    local name=$1 expected=$2 found
    found=$(binaries | allocator_of)
    [[ $found == "$expected" ]] || fail "$name should be on $expected, but is on $found"
}

milliseconds() {
    local now=${EPOCHREALTIME/[.,]/}
    printf '%d' $((now / 1000))
}

as_seconds() {
    printf '%d.%02d s' $(($1 / 1000)) $(($1 % 1000 / 10))
}

# Each exercise runs a program ($1) in the folder of texts and leaves all that is to be compared in the folder $2.
# Which thread finishes first decides the order of some outputs; those are sorted.

exercise_ripgrep() {
    local rg=("$1" --no-config --threads 4) out=$2
    "${rg[@]}" -n --no-heading 'fn |struct |impl' . | sort >"$out/lines"
    "${rg[@]}" -i --count-matches '\b\w+(ing|ed)\b' . | sort >"$out/counts"
    "${rg[@]}" -U --multiline-dotall -o 'enum .{1,400}?\}' . | sort >"$out/multiline"
    "${rg[@]}" --sort path --no-heading -r 'changed' 'use \w+' . >"$out/replaced"
}

exercise_tokei() {
    local run=$1 out=$2 round
    for round in 1 2 3; do
        "$run" . >"$out/table-$round"
        "$run" --files . | sort >"$out/files-$round"
    done
}

exercise_oxipng() {
    local run=$1 out=$2
    "$run" --opt 3 --threads 4 --quiet --dir "$out" "$INPUTS"/images/*.png
    "$run" --opt 1 --interlace on --strip all --quiet --out "$out/interlaced" "$INPUTS/images/plasma.png"
}

# compare NAME VERSION WHAT SYSTEM_MS NEAP_MS: a row of the table, from the two output folders.
compare() {
    local name=$1 version=$2 what=$3 result=same
    if ! diff -r "$WORK/out/$name-system" "$WORK/out/$name-neap" >"$WORK/out/$name.diff"; then
        result=DIFFERENT
        failed=true
        printf '%s: outputs differ, see %s\n' "$name" "$WORK/out/$name.diff" >&2
        head -n 20 "$WORK/out/$name.diff" >&2
    fi
    printf -v rows '%s%-12s %-9s %-14s %-10s %10s %10s\n' "$rows" \
        "$name" "$version" "$what" "$result" "$(as_seconds "$4")" "$(as_seconds "$5")"
}

check_program() {
    local name=$1 version=$2 main=$3 allocator folder out binary start what
    local -A took
    for allocator in system neap; do
        printf '%s %s on %s\n' "$name" "$version" "$allocator"
        folder=$WORK/source/$allocator/$name
        copy "$name" "$version" "$main" "$allocator" "$folder"
        (cd "$folder" && cargo build --quiet --release --bins --message-format json) >"$WORK/build.json"
        expect_allocator "$name" "$allocator"
        binary=$(binaries | tail -n 1)

        out=$WORK/out/$name-$allocator
        rm -rf "$out"
        mkdir -p "$out"
        start=$(milliseconds)
        (cd "$INPUTS/text" && "exercise_$name" "$binary" "$out")
        took[$allocator]=$(($(milliseconds) - start))
    done
    what=$(find "$WORK/out/$name-neap" -type f | wc -l)
    compare "$name" "$version" "$what outputs" "${took[system]}" "${took[neap]}"
}

check_library() {
    local name=$1 version=$2 main=$3 tests=$4 allocator folder out start what
    local -A took
    for allocator in system neap; do
        printf '%s %s on %s\n' "$name" "$version" "$allocator"
        folder=$WORK/source/$allocator/$name
        copy "$name" "$version" "$main" "$allocator" "$folder"
        (cd "$folder" && cargo test --quiet --release "$tests" --no-run --message-format json) >"$WORK/build.json"
        expect_allocator "$name" "$allocator"

        out=$WORK/out/$name-$allocator
        rm -rf "$out"
        mkdir -p "$out"
        start=$(milliseconds)
        (cd "$folder" && cargo test --release "$tests" --no-fail-fast) >"$WORK/out/$name-$allocator.log" 2>&1 ||
            printf '%s: a test fails on %s, see %s\n' "$name" "$allocator" "$WORK/out/$name-$allocator.log" >&2
        took[$allocator]=$(($(milliseconds) - start))
        sed -n 's/^\(test .* \.\.\. [a-z]*\).*/\1/p' "$WORK/out/$name-$allocator.log" | sort >"$out/tests"
    done
    what=$(wc -l <"$WORK/out/$name-neap/tests")
    [[ $what -gt 0 ]] || fail "no test of $name ran"
    compare "$name" "$version" "$what tests" "${took[system]}" "${took[neap]}"
}

# run KIND ENTRY NAMES...: checks an entry if the names are none or hold it.
run() {
    local kind=$1 entry=$2 name version main tests
    shift 2
    read -r name version main tests <<<"$entry"
    if [[ $# -eq 0 || " $* " == *" $name "* ]]; then
        "check_$kind" "$name" "$version" "$main" "$tests"
    fi
}

main() {
    local name entry
    case "${1:-}" in
        -h | --help)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
    esac
    for name in "$@"; do
        [[ " ${PROGRAMS[*]} ${LIBRARIES[*]} " == *" $name "* ]] || fail "unknown program \"$name\"; --help lists them"
    done

    fetch
    make_inputs
    for entry in "${PROGRAMS[@]}"; do
        run program "$entry" "$@"
    done
    for entry in "${LIBRARIES[@]}"; do
        run library "$entry" "$@"
    done

    printf '\n%-12s %-9s %-14s %-10s %10s %10s\n%s' "" version compared result "on system" "on neap" "$rows"
    if $failed; then
        fail "outputs differ"
    fi
}

# Last and in one piece, so that bash has read all of this file before anything runs: an edit disturbs no run.
main "$@"
