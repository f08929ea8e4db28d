#!/usr/bin/env bash
# Checks everything, cheapest first, and stops at the first failure. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly USAGE="usage: ./check.sh [--quick | --everything]

Formats, lints, tests, documents, packages, model-checks and stresses neap, in this order; prints the time of each
step, and the time of all processors in it, and stops at the first one that fails. The end of the output says which
steps were left out.

  --quick        only the first steps: format, shell scripts, lints, tests in the debug profile, documentation
  --everything   also what the plain run leaves out: the tests of the benchmarks' real code (benches/real), glibc's own
                 malloc tests on libneap (scripts/malloc_conformance.sh), and real programs with libneap preloaded
                 (scripts/preload_programs.sh)
  --help         this text

The plain run takes under 20 minutes on 2 idle cores; CI runs it. CONTRIBUTING.md has a table of what is tested where.
Not in any run: deeper model checks (loom-tests/deeper.sh) and the benchmarks.

With CI set in the environment, uncommitted changes are an error in the packaging step.
Needs Rust and a C compiler (for the allocators that the benchmarks compare with); installs rustfmt and clippy.
--everything also needs Debian, and root to install the programs that are missing."

# What a step belongs to: every run, the plain run and above, or --everything alone.
readonly QUICK=0 PLAIN=1 EVERYTHING=2
extent=$PLAIN
for argument in "$@"; do
    case "$argument" in
        --quick) extent=$QUICK ;;
        --everything) extent=$EVERYTHING ;;
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
left_out=()

on_exit() {
    local status=$?
    printf '\n%7s %7s\n%s' "time" "cpus" "$summary"
    if [[ $status -eq 0 ]]; then
        if [[ ${#left_out[@]} -gt 0 ]]; then
            printf 'left out (see --help):\n'
            printf '                 %s\n' "${left_out[@]}"
        fi
        printf 'check.sh: all green in %s\n' "$(as_time "$SECONDS")"
    else
        printf 'check.sh: FAILED: %s\n' "$current" >&2
    fi
}
trap on_exit EXIT

as_time() {
    printf '%d:%02d' $(($1 / 60)) $(($1 % 60))
}

# step EXTENT NAME COMMAND...: runs the command under a heading and records its times, if this run extends to it.
step() {
    if [[ $1 -gt $extent ]]; then
        left_out+=("$2")
        return
    fi
    current=$2
    shift 2
    local start=$SECONDS start_processor
    start_processor=$(processor_seconds)
    printf '\n== %s\n' "$current"
    "$@"
    local took processor
    took=$(as_time $((SECONDS - start)))
    processor=$(as_time $(($(processor_seconds) - start_processor)))
    printf -- '-- %s: %s (processors %s)\n' "$current" "$took" "$processor"
    printf -v summary '%s%7s %7s  %s\n' "$summary" "$took" "$processor" "$current"
}

# Processor time that everything has taken which this script started and which has ended.
processor_seconds() {
    local stat
    read -ra stat <"/proc/$$/stat"
    echo $(((stat[15] + stat[16]) / $(getconf CLK_TCK)))
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

real_code() {
    cargo test --manifest-path benches/real/Cargo.toml
}

mutants() {
    loom-tests/mutants/run.sh
}

main() {
    step $QUICK "tools" tools
    step $QUICK "format" cargo fmt --all --check
    step $QUICK "shell scripts" shell_scripts
    step $QUICK "lints" lints
    step $QUICK "tests, debug" cargo test --locked "${WORKSPACE[@]}" "${INTERNALS[@]}"
    step $QUICK "malloc from a Rust program" cargo test --locked -p neap --features c-symbols --test c_symbols
    step $QUICK "documentation" documentation
    step $PLAIN "other targets" other_targets
    step $PLAIN "tests, release, with 100,000 steps of each property" tests_in_release
    step $PLAIN "package" package
    step $PLAIN "model checks (loom)" model_checks
    step $PLAIN "mutants of the source are caught" mutants
    step $PLAIN "stress" stress
    step $PLAIN "real Rust programs on neap" scripts/real_programs.sh
    step $EVERYTHING "real code of the benchmarks" real_code
    step $EVERYTHING "glibc's malloc tests on libneap" scripts/malloc_conformance.sh
    step $EVERYTHING "real programs with libneap preloaded" scripts/preload_programs.sh
}

# Last and in one piece, so that bash has read all of this file before anything runs: an edit disturbs no run.
main
