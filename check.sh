#!/usr/bin/env bash
# Checks everything, cheapest first, and stops at the first failure. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly USAGE="usage: ./check.sh [--quick]

Formats, lints, tests, documents, packages, model-checks and stresses neap, in this order; prints the time of each
step and stops at the first one that fails. On a fresh clone, with 2 cores, all of it takes under 25 minutes.

  --quick   only the first steps: format, shell scripts, lints, tests in the debug profile, documentation
  --help    this text

With CI set in the environment, uncommitted changes are an error in the packaging step.
Needs Rust and a C compiler (for the allocators that the benchmarks compare with); installs rustfmt and clippy."

quick=false
for argument in "$@"; do
    case "$argument" in
        --quick) quick=true ;;
        -h | --help)
            printf '%s\n' "$USAGE"
            exit 0
            ;;
        *)
            printf 'check.sh: unknown option "%s"\n\n%s\n' "$argument" "$USAGE" >&2
            exit 2
            ;;
    esac
done

# The workspace without the model checks: those compile the same source another way, and run in their own step.
readonly WORKSPACE=(--workspace --exclude neap-loom-tests)
readonly INTERNALS=(--features neap/internals)

current="start"
summary=""

on_exit() {
    local status=$?
    printf '\n%s' "$summary"
    if [[ $status -eq 0 ]]; then
        printf 'check.sh: all green in %s\n' "$(as_time "$SECONDS")"
    else
        printf 'check.sh: FAILED: %s\n' "$current" >&2
    fi
}
trap on_exit EXIT

as_time() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# step NAME COMMAND...: runs the command under a heading and records its time.
step() {
    current=$1
    shift
    local start=$SECONDS
    printf '\n== %s\n' "$current"
    "$@"
    local took
    took=$(as_time $((SECONDS - start)))
    printf -- '-- %s: %s\n' "$current" "$took"
    printf -v summary '%s%7s  %s\n' "$summary" "$took" "$current"
}

need_component() {
    local component=$1 command=$2
    if ! cargo "$command" --version >/dev/null 2>&1; then
        rustup component add "$component"
    fi
}

tools() {
    need_component rustfmt fmt
    need_component clippy clippy
    rustc --version
    cargo --version
}

shell_scripts() {
    local scripts=(check.sh .ci/run)
    mapfile -t -O "${#scripts[@]}" scripts < <(git ls-files '*.sh' ':!check.sh')
    local script
    for script in "${scripts[@]}"; do
        bash -n "$script"
    done
    if command -v shellcheck >/dev/null; then
        shellcheck "${scripts[@]}"
    else
        echo "shellcheck is not installed: syntax checked only"
    fi
}

lints() {
    cargo clippy --locked "${WORKSPACE[@]}" --all-targets -- -D warnings
    # Its unit tests are those of the other build, so there is no such target here.
    cargo clippy --locked -p neap-loom-tests --lib --tests -- -D warnings
    cargo clippy --locked "${WORKSPACE[@]}" --all-targets "${INTERNALS[@]}" -- -D warnings
}

other_targets() {
    local target
    for target in aarch64-unknown-linux-gnu x86_64-unknown-linux-musl; do
        if rustup target list --installed 2>/dev/null | grep -qx "$target" ||
            rustup target add "$target" >/dev/null 2>&1; then
            cargo check --locked -p neap --lib --target "$target"
        else
            echo "no standard library for $target can be had here: skipped"
        fi
    done
}

documentation() {
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps "${WORKSPACE[@]}"
}

package() {
    local dirty=()
    if [[ -z "${CI:-}" ]]; then
        dirty=(--allow-dirty)
    fi
    # Everything the crate depends on was fetched by the steps before, so this asks no registry.
    cargo package --locked --offline -p neap "${dirty[@]}"
}

tests_in_release() {
    # Every property test takes its number of steps from this variable.
    PROPTEST_STEPS=100000 cargo test --locked --release -p neap "${INTERNALS[@]}"
}

stress() {
    STRESS_ROUNDS=300000 cargo test --locked --release -p neap --test stress "${INTERNALS[@]}"
}

model_checks() {
    (cd loom-tests && cargo test --locked --release)
}

mutants() {
    loom-tests/mutants/run.sh
}

main() {
    step "tools" tools
    step "format" cargo fmt --all --check
    step "shell scripts" shell_scripts
    step "lints" lints
    step "tests, debug" cargo test --locked "${WORKSPACE[@]}" "${INTERNALS[@]}"
    step "malloc from a Rust program" cargo test --locked -p neap --features c-symbols --test c_symbols
    step "documentation" documentation
    if $quick; then
        return
    fi
    step "other targets" other_targets
    step "tests, release, with 100,000 steps of each property" tests_in_release
    step "package" package
    step "model checks (loom)" model_checks
    step "mutants of the source are caught" mutants
    step "stress" stress
    step "real programs" scripts/real_programs.sh
}

# Last and in one piece, so that bash has read all of this file before anything runs: an edit disturbs no run.
main
