#!/usr/bin/env bash
# Proof that the models can fail: applies each mutation of the shipping source to a scratch copy and runs the models.
set -euo pipefail

readonly USAGE="usage: loom-tests/mutants/run.sh [--apply-only] [NAME...]

Runs the models against every mutant in this directory, or those named, and prints which model caught it. Fails if one
survives, if one does not apply any more, or if one does not compile. Takes about five minutes on 2 cores; with
--apply-only, which only sees whether all of them still apply, a second.

A mutant is a text file: comment lines that say what is wrong, a line 'models: FILTER...' with the tests that should
catch it (all others are tried if they do not), then one or more edits:

    file: PATH
    <<<<
    text that must occur exactly once
    ====
    what takes its place
    >>>>"

apply_only=false
case "${1:-}" in
    --apply-only)
        apply_only=true
        shift
        ;;
    -h | --help)
        printf '%s\n' "$USAGE"
        exit 0
        ;;
esac

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
readonly SOURCE=$PWD
readonly MUTANTS=$SOURCE/loom-tests/mutants
# Seconds for one run of the models; a model that hangs longer has noticed something.
readonly PATIENCE=240

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Dependencies are built once; what differs between mutants is built fast, not to be fast.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$SOURCE/target}/mutants
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_INCREMENTAL=true
export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true RUST_BACKTRACE=0
unset CARGO_BUILD_TARGET RUSTFLAGS

fail() {
    printf 'mutants: %s\n' "$1" >&2
    exit 1
}

# The tree as the models need it, at the same place for each mutant.
copy_tree() {
    mkdir -p "$scratch/tree"
    cp -r "$SOURCE/src" "$SOURCE/loom-tests" "$SOURCE/build.rs" "$SOURCE/Cargo.lock" "$scratch/tree/"
    sed 's/^members = .*/members = [".", "loom-tests"]/; /^\[dev-dependencies\]/,/^$/d; /^\[\[test\]\]/,/^$/d' \
        "$SOURCE/Cargo.toml" > "$scratch/tree/Cargo.toml"
}

# Puts `file` back and lets cargo see that it changed.
restore() {
    cp "$SOURCE/$1" "$scratch/tree/$1"
}

# Applies one edit: file, old text, new text.
edit() {
    local name=$1 file=$2 old=$3 new=$4 text
    [[ -f $scratch/tree/$file ]] || fail "$name: there is no file $file"
    IFS= read -r -d '' text < "$scratch/tree/$file" || true
    local rest=${text#*"$old"}
    [[ $rest != "$text" ]] || fail "$name: $file does not have the text to replace any more: $old"
    [[ ${rest#*"$old"} == "$rest" ]] || fail "$name: $file has the text to replace more than once: $old"
    printf '%s' "${text%%"$old"*}$new$rest" > "$scratch/tree/$file"
}

# Reads a mutant, applies its edits, and sets `models` and `files`.
apply() {
    local name=$1 line part="" file="" old="" new=""
    models=()
    files=()
    while IFS= read -r line || [[ -n $line ]]; do
        case "$part:$line" in
            ":models: "*) read -ra models <<< "${line#models: }" ;;
            ":file: "*)
                file=${line#file: }
                files+=("$file")
                ;;
            ":<<<<") part=old old="" ;;
            "old:====") part=new new="" ;;
            "new:>>>>")
                part=""
                edit "$name" "$file" "${old%$'\n'}" "${new%$'\n'}"
                ;;
            "old:"*) old+=$line$'\n' ;;
            "new:"*) new+=$line$'\n' ;;
            ":#"* | ":") ;;
            *) fail "$name: what is this line: $line" ;;
        esac
    done < "$MUTANTS/$name.mutant"
    [[ -z $part && ${#files[@]} -gt 0 ]] || fail "$name: the last edit has no end, or there is none"
}

build() {
    (cd "$scratch/tree" && cargo test --quiet --release -p neap-loom-tests --test models --test lock --no-run) \
        > "$scratch/build" 2>&1
}

# Runs the models that match and prints the one that failed; fails if none did.
run() {
    local status=0
    (cd "$scratch/tree" && timeout "$PATIENCE" cargo test --quiet --release -p neap-loom-tests --test models --test lock \
        --no-fail-fast -- --format pretty --test-threads 1 "$@") > "$scratch/out" 2>&1 || status=$?
    [[ $status -ne 0 ]] || return 1
    local caught
    caught=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$scratch/out" | head -n 1)
    if [[ -z $caught ]]; then
        # A model that ends the process, or hangs, cannot be reported by the test harness.
        caught=$(sed -n 's/^test \([^ ]*\) \.\.\. *$/\1/p; s/^test \([^ ]*\) \.\.\. *[^oFi].*/\1/p' "$scratch/out" | tail -n 1)
        [[ $status -eq 124 ]] && caught="${caught:-a model that does not end}"
    fi
    printf '%s' "${caught:-a model that ended the process}"
}

names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
    for path in "$MUTANTS"/*.mutant; do
        names+=("$(basename "$path" .mutant)")
    done
fi

copy_tree
survivors=0
for name in "${names[@]}"; do
    [[ -f $MUTANTS/$name.mutant ]] || fail "there is no mutant $name"
    start=$SECONDS
    apply "$name"
    if $apply_only; then
        for file in "${files[@]}"; do
            restore "$file"
        done
        continue
    fi
    build || {
        cat "$scratch/build" >&2
        fail "$name: the mutant does not compile"
    }
    if caught=$(run "${models[@]}") || caught=$(run); then
        printf '%-58s caught by %s (%d s)\n' "$name" "$caught" $((SECONDS - start))
    else
        printf '%-58s SURVIVED (%d s)\n' "$name" $((SECONDS - start))
        survivors=$((survivors + 1))
    fi
    for file in "${files[@]}"; do
        restore "$file"
    done
done
if $apply_only; then
    printf 'all %d mutants apply\n' "${#names[@]}"
    exit 0
fi
[[ $survivors -eq 0 ]] || fail "$survivors of ${#names[@]} mutants survived"
printf 'all %d mutants were caught\n' "${#names[@]}"
