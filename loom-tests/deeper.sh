#!/usr/bin/env bash
# The models at length: more preemptions, and how many executions each model explored.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

case "${1:-}" in
    -h | --help)
        printf '%s\n' "usage: loom-tests/deeper.sh [MORE [SECONDS]]

Runs every model with MORE preemptions than the everyday run (1), for at most SECONDS each (600), and prints how many
executions each explored. Models that have tried all schedules already are run as they are."
        exit 0
        ;;
esac
export NEAP_MODELS_DEEPER=${1:-1} NEAP_MODELS_SECONDS=${2:-600} RUST_BACKTRACE=0
output=$(mktemp)
trap 'rm -f "$output"' EXIT
status=0
cargo test --release -- --show-output > "$output" 2>&1 || status=$?
if [[ $status -ne 0 ]]; then
    cat "$output"
else
    grep '^model ' "$output" | sort
fi
exit "$status"
