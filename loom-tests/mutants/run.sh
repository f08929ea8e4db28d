#!/usr/bin/env bash
# Proof that the models can fail: applies each mutation of the shipping source to a scratch copy and runs the models.
set -euo pipefail

readonly USAGE="usage: loom-tests/mutants/run.sh [--apply-only] [NAME...]

Runs the models against every mutant in this directory, or those named, several at a time, and prints which model caught
each. Goes on after a failure, and fails in the end if a mutant survived, was caught only by models that it does not name,
does not apply any more, or does not compile. Takes about three minutes on 2 cores; with --apply-only, which only sees whether all
of them still apply, a second.

A mutant is a text file: comment lines that say what is wrong, a line 'models: FILTER...' with the tests that should
catch it, the quickest first (all others are tried if they do not), then one or more edits:

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
# Seconds for the tests that one filter selects, and for all tests if the named tests did not catch a mutant.
readonly PATIENCE=120 PATIENCE_FOR_ALL=1200
# Mutants under work at once: each needs a tree and a target directory of its own.
WORKERS=$(nproc)
readonly WORKERS=$((WORKERS < 4 ? WORKERS : 4))

fail() {
    printf 'mutants: %s\n' "$1" >&2
    exit 1
}

# The trees stay at the same place, so that a run rebuilds little, and runs do not leave more and more trees behind.
readonly WORK=${CARGO_TARGET_DIR:-$SOURCE/target}/mutants
mkdir -p "$WORK"
exec 9> "$WORK/lock"
flock -n 9 || fail "another run is at work in $WORK"
scratch=$(mktemp -d)
workers=()

on_exit() {
    local worker
    for worker in "${workers[@]}"; do
        # Each worker has a process group: the processes that it has started end with it.
        kill -- "-$worker" 2> /dev/null || true
    done
    rm -rf "$scratch"
}
trap on_exit EXIT
trap 'exit 130' INT TERM

# Texts are compared by bytes, which is much faster than by characters.
export LC_ALL=C
# A build is run for a short time only, so a fast build matters more than a fast program.
export CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=0 CARGO_PROFILE_RELEASE_INCREMENTAL=true
export CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS=true RUST_BACKTRACE=0
unset CARGO_BUILD_TARGET RUSTFLAGS

# Copies the source, as the models need it, into the tree of this worker.
copy_tree() {
    rm -rf "$tree"
    mkdir -p "$tree"
    cp -r "$SOURCE/src" "$SOURCE/loom-tests" "$SOURCE/build.rs" "$SOURCE/Cargo.lock" "$tree/"
    sed 's/^members = .*/members = [".", "loom-tests"]/; /^\[dev-dependencies\]/,/^$/d; /^\[\[test\]\]/,/^$/d' \
        "$SOURCE/Cargo.toml" > "$tree/Cargo.toml"
    # The models themselves use none of these.
    sed '/^\[dev-dependencies\]/,/^$/d' "$SOURCE/loom-tests/Cargo.toml" > "$tree/loom-tests/Cargo.toml"
}

# Applies one edit: file, old text, new text. If it cannot, `problem` says why.
edit() {
    local file=$1 old=$2 new=$3 text
    if [[ ! -f $tree/$file ]]; then
        problem="there is no file $file"
        return 1
    fi
    IFS= read -r -d '' text < "$tree/$file" || true
    # Rejected: ${text#*...}. Its time in bash grows with the square of the length.
    local without=${text//"$old"/}
    case $(((${#text} - ${#without}) / ${#old})) in
        0) problem="$file does not have the text to replace any more: $old" ;;
        1) printf '%s' "${text/"$old"/"$new"}" > "$tree/$file" ;;
        *) problem="$file has the text to replace more than once: $old" ;;
    esac
    [[ -z $problem ]]
}

# Reads a mutant, applies its edits, and sets `models` and `files`. If it cannot, `problem` says why.
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
                edit "$file" "${old%$'\n'}" "${new%$'\n'}" || return 1
                ;;
            "old:"*) old+=$line$'\n' ;;
            "new:"*) new+=$line$'\n' ;;
            ":#"* | ":") ;;
            *)
                problem="what is this line: $line"
                return 1
                ;;
        esac
    done < "$MUTANTS/$name.mutant"
    if [[ -n $part || ${#files[@]} -eq 0 || ${#models[@]} -eq 0 ]]; then
        problem="the last edit has no end, there is none, or no model is named"
        return 1
    fi
}

# Restores the files that a mutant has changed. The copies are new, so cargo sees the change.
restore() {
    local file
    for file in "${files[@]}"; do
        [[ ! -f $SOURCE/$file ]] || cp "$SOURCE/$file" "$tree/$file"
    done
}

# Builds the models and sets `programs`.
build() {
    (cd "$tree" && CARGO_TARGET_DIR=$target cargo test --color never --release -p neap-loom-tests \
        --test models --test lock --no-run) > "$out" 2>&1 || return 1
    mapfile -t programs < <(sed -n 's/^ *Executable .* (\(.*\))$/\1/p' "$out")
    [[ ${#programs[@]} -eq 2 ]]
}

# Runs the tests that match, for at most the given seconds, and sets `caught` to the test that failed. False if none failed.
run() {
    local patience=$1 program status
    shift
    for program in "${programs[@]}"; do
        status=0
        # Without the braces, the shell would print that a model ended its process.
        {
            (cd "$tree/loom-tests" && timeout --foreground "$patience" "$program" --color never --test-threads 1 "$@") \
                > "$out" 2>&1 || status=$?
        } 2> /dev/null
        [[ $status -ne 0 ]] || continue
        if [[ $status -eq 124 ]]; then
            # A timeout proves nothing: the machine may be slow.
            printf '%s: the models "%s" took more than %d s\n' "$name" "$*" "$patience" >&2
            continue
        fi
        caught=$(sed -n 's/^test \(.*\) \.\.\. FAILED$/\1/p' "$out" | head -n 1)
        # The test harness cannot report a model that ended the process.
        caught=${caught:-$(sed -n 's/^test \([^ ]*\) \.\.\. .*/\1/p' "$out" | tail -n 1)}
        caught=${caught:-a model that ended the process}
        return 0
    done
    return 1
}

# Prints what happened to a mutant, and notes that it failed.
report_failure() {
    printf '%-58s %s (%d s)\n' "$name" "$1" $((SECONDS - start))
    printf '%s\n' "$name" >> "$scratch/failed"
}

# Checks one mutant.
check() {
    local name=$1 problem="" caught="" model start=$SECONDS
    local models files
    if ! apply "$name"; then
        report_failure "does NOT APPLY: $problem"
    elif $apply_only; then
        :
    elif ! build; then
        report_failure "does NOT COMPILE:"$'\n'"$(cat "$out")"
    else
        for model in "${models[@]}"; do
            if run "$PATIENCE" "$model"; then
                printf '%-58s caught by %s (%d s)\n' "$name" "$caught" $((SECONDS - start))
                break
            fi
        done
        if [[ -z $caught ]]; then
            if run "$PATIENCE_FOR_ALL"; then
                report_failure "caught by $caught, but NOT by ${models[*]}"
            else
                report_failure "SURVIVED"
            fi
        fi
    fi
    restore
}

# Checks the mutants that no other worker has taken, one after the other.
work() {
    local tree=$WORK/tree-$1 target=$WORK/target-$1 out=$scratch/out-$1 programs=() name
    copy_tree
    if [[ $1 -ne 0 && ! -d $target && -d $WORK/target-0 ]]; then
        # All trees have the same dependencies, so one build of them is enough.
        cp -a "$WORK/target-0" "$target"
    fi
    for name in "${names[@]}"; do
        if mkdir "$scratch/$name.taken" 2> /dev/null; then
            check "$name"
        fi
    done
}

names=("$@")
if [[ ${#names[@]} -eq 0 ]]; then
    for path in "$MUTANTS"/*.mutant; do
        names+=("$(basename "$path" .mutant)")
    done
fi
for name in "${names[@]}"; do
    [[ -f $MUTANTS/$name.mutant ]] || fail "there is no mutant $name"
done

touch "$scratch/failed"
if $apply_only; then
    work 0
else
    (
        tree=$WORK/tree-0 target=$WORK/target-0 out=$scratch/out-0
        copy_tree
        build || {
            cat "$out" >&2
            fail "the models do not compile"
        }
    )
    # Job control, so that each worker has a process group.
    set -m
    for ((worker = 0; worker < WORKERS; worker++)); do
        work "$worker" &
        workers+=($!)
    done
    set +m
    for worker in "${workers[@]}"; do
        wait "$worker" || fail "a worker ended early"
    done
    workers=()
fi
mapfile -t failed < "$scratch/failed"
[[ ${#failed[@]} -eq 0 ]] || fail "${#failed[@]} of ${#names[@]} are not as they should be: ${failed[*]}"
if $apply_only; then
    printf 'all %d mutants apply\n' "${#names[@]}"
else
    printf 'all %d mutants were caught by the models that they name\n' "${#names[@]}"
fi
