#!/usr/bin/env bash
# Runs glibc's own malloc tests on libneap by LD_PRELOAD. See --help.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

readonly USAGE="usage: scripts/malloc_conformance.sh [TEST...]

Fetches the source package of the system's glibc from Debian into a scratch directory, compiles the tests in its directory
malloc, and runs each as it is and with libneap preloaded. Prints a table: passes, fails, or does not apply and why not.
Fails if a test that applies fails on libneap and passes on the system. With names, only those tests, whether they apply or not.

Nothing of glibc's enters this repository. The system's own list of package sources is neither used nor changed.
GLIBC_SOURCE names an unpacked source of glibc instead (needed where the system is not Debian). LIBNEAP names the library;
without it the profile preload is built. Needs apt-get, xz and a C compiler (CC)."

# Tests that are not about what a malloc owes its callers.
readonly NOT_APPLICABLE=(
    "tst-alloc_buffer helper inside glibc, not exported"
    "tst-compathooks-off malloc hooks, removed from the interface"
    "tst-compathooks-on malloc hooks, removed from the interface"
    "tst-dynarray helper inside glibc, not exported"
    "tst-dynarray-at-fail helper inside glibc, not exported"
    "tst-dynarray-fail helper inside glibc, not exported"
    "tst-interpose-aux part of other tests"
    "tst-interpose-aux-nothread part of other tests"
    "tst-interpose-aux-thread part of other tests"
    "tst-interpose-skeleton part of other tests"
    "tst-interpose-nothread brings a malloc of its own"
    "tst-interpose-static-nothread brings a malloc of its own"
    "tst-interpose-static-thread brings a malloc of its own"
    "tst-interpose-thread brings a malloc of its own"
    "tst-malloc-backtrace overwrites the headers of glibc's chunks and waits for glibc's message"
    "tst-malloc-check checks of glibc's debugging malloc (MALLOC_CHECK_)"
    "tst-malloc-usable exact sizes in glibc's debugging malloc (MALLOC_CHECK_)"
    "tst-malloc-usable-tunables exact sizes in glibc's debugging malloc (tunables)"
    "tst-mallocstate malloc_get_state, removed from the interface"
    "tst-mtrace mtrace, a debugging facility of glibc's malloc"
    "tst-safe-linking overwrites the links in glibc's free lists and waits for glibc's message"
    "tst-scratch_buffer helper inside glibc, not exported"
    "tst-tcfree1 glibc's own check of its free lists: a double free ends the process at once (here when the slot is back in its span)"
    "tst-tcfree2 glibc's own check of its free lists: a double free ends the process at once (here when the slot is back in its span)"
)

readonly MIRROR=http://deb.debian.org/debian
readonly SECURITY=http://deb.debian.org/debian-security
readonly KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg
# Seconds for one test; glibc's own driver ends most of them earlier.
readonly PATIENCE=300
readonly UNSUPPORTED=77
readonly CC=${CC:-cc}

fail() {
    printf 'malloc_conformance.sh: %s\n' "$1" >&2
    exit 1
}

# Leaves the unpacked source in SOURCE.
fetch() {
    [[ -r $KEYRING ]] || fail "no $KEYRING: this is not Debian; set GLIBC_SOURCE"
    command -v apt-get >/dev/null || fail "apt-get is missing; set GLIBC_SOURCE"
    command -v xz >/dev/null || fail "xz is missing (package xz-utils)"
    local codename version upstream have apt=$WORK/apt options
    # shellcheck source=/dev/null
    codename=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME-}")
    [[ -n $codename ]] || fail "/etc/os-release names no release; set GLIBC_SOURCE"
    version=$(dpkg-query -W -f '${source:Version}\n' 'libc6' 2>/dev/null | head -n 1)
    [[ -n $version ]] || fail "the package libc6 is not installed; set GLIBC_SOURCE"
    upstream=${version%-*}
    mkdir -p "$apt"/{state/lists,cache/archives}/partial
    printf "deb-src [signed-by=$KEYRING] %s %s main\n" "$MIRROR" "$codename" "$MIRROR" "$codename-updates" \
        "$SECURITY" "$codename-security" >"$apt/sources.list"
    options=(-qq -o "Dir::Etc::SourceList=$apt/sources.list" -o Dir::Etc::SourceParts=/dev/null
        -o "Dir::State=$apt/state" -o Dir::State::Status=/var/lib/dpkg/status -o "Dir::Cache=$apt/cache"
        -o APT::Sandbox::User=root -o Acquire::Retries=2)
    apt-get "${options[@]}" -o APT::Update::Error-Mode=any update >"$apt/log" 2>&1 ||
        fail "cannot reach $MIRROR for the source of glibc: $(tail -n 1 "$apt/log")"
    have=$(apt-cache "${options[@]}" showsrc glibc | sed -n 's/^Version: //p')
    # The package's own tests do not change between Debian's revisions of one version.
    grep -qx -F "$version" <<<"$have" || version=$(grep -F "$upstream-" <<<"$have" | sort -V | tail -n 1 || true)
    [[ -n $version ]] || fail "Debian has no source of glibc $upstream any more; set GLIBC_SOURCE"
    (cd "$WORK" && apt-get "${options[@]}" source --download-only --only-source "glibc=$version" >"$apt/log" 2>&1) ||
        fail "cannot fetch the source of glibc $version: $(tail -n 1 "$apt/log")"
    tar -C "$WORK" -xJf "$WORK"/glibc_*.orig.tar.xz --wildcards '*/malloc' '*/support' '*/include' '*/sysdeps/generic' \
        '*/test-skeleton.c'
    SOURCE=$(echo "$WORK"/glibc-*/)
    SOURCE=${SOURCE%/}
    printf 'glibc %s\n' "$version" >&2
}

compile() {
    "$CC" -w -O2 -std=gnu11 -fno-builtin -pthread -rdynamic -I"$WORK/include" -I"$WORK/include/support" \
        -include "$WORK/include/shim.h" "$@"
}

# glibc's code for tests as a library. It expects a few of glibc's inner headers; of those that it cannot do without
# the parts that matter outside are written here.
build_support() {
    mkdir "$WORK/include" "$WORK/objects"
    ln -s "$SOURCE/support" "$WORK/include/support"
    local header file
    for header in libc-diag.h array_length.h libc-pointer-arith.h intprops.h verify.h scratch_buffer.h; do
        [[ ! -e $SOURCE/include/$header ]] || ln -s "$SOURCE/include/$header" "$WORK/include/$header"
    done
    for header in malloc-size.h malloc-alignment.h; do
        ln -s "$SOURCE/sysdeps/generic/$header" "$WORK/include/$header"
    done
    mkdir "$WORK/include/malloc"
    ln -s "$SOURCE/malloc/scratch_buffer.h" "$WORK/include/malloc/scratch_buffer.h"
    : >"$WORK/include/libc-config.h"
    cat >"$WORK/include/shim.h" <<'END'
#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif
#include <limits.h>
#include <sys/cdefs.h>
#ifndef __attribute_copy__
#define __attribute_copy__(name)
#endif
#define libc_hidden_proto(name)
#define libc_hidden_def(name)
#define TIMEOUTFACTOR 4
/* Where glibc was built and installed, for tests that look there; none of malloc's does. */
#define BINDIR_PATH "/"
#define COMPLOCALEDIR_PATH "/"
#define DBINDIR_PATH "/"
#define DCOMPLOCALEDIR_PATH "/"
#define DINSTDIR_PATH "/"
#define DLIBDIR_PATH "/"
#define DOBJDIR_ELF_LDSO_PATH "/"
#define DOBJDIR_PATH "/"
#define DROOTSBINDIR_PATH "/"
#define DSBINDIR_PATH "/"
#define DSLIBDIR_PATH "/"
#define DSRCDIR_PATH "/"
#define INSTDIR_PATH "/"
#define LIBDIR_PATH "/"
#define OBJDIR_ELF_LDSO_PATH "/"
#define OBJDIR_PATH "/"
#define ROOTSBINDIR_PATH "/"
#define SBINDIR_PATH "/"
#define SLIBDIR_PATH "/"
#define SRCDIR_PATH "/"
END
    for file in "$SOURCE"/support/*.c "$SOURCE"/malloc/scratch_buffer_*.c; do
        printf '%s\n' "$file"
    done >"$WORK/support.list"
    # Some parts need more of glibc than is here; a test that needs them does not link.
    while read -r file; do
        compile -c "$file" -o "$WORK/objects/$(basename "$file" .c).o" 2>>"$WORK/support.log" || true
    done <"$WORK/support.list"
    ar rcs "$WORK/libsupport.a" "$WORK"/objects/*.o
}

# Says how a run of a test ended.
verdict() {
    local status=0 name=$1 allocator=$2 environment=()
    [[ $allocator == neap ]] && environment=(LD_PRELOAD="$LIBRARY")
    (cd "$WORK" && env "${environment[@]}" timeout "$PATIENCE" "$WORK/$name") >"$WORK/$name-$allocator.log" 2>&1 || status=$?
    case $status in
        0) echo pass ;;
        "$UNSUPPORTED") echo unsupported ;;
        124) echo hangs ;;
        *) echo "fails ($status)" ;;
    esac
}

reason_against() {
    local entry
    for entry in "${NOT_APPLICABLE[@]}"; do
        if [[ ${entry%% *} == "$1" ]]; then
            printf '%s' "${entry#* }"
            return
        fi
    done
}

row() {
    printf '%-30s %-12s %-12s %s\n' "$@"
}

main() {
    case ${1-} in
    -h | --help)
        printf '%s\n' "$USAGE"
        return
        ;;
    esac
    WORK=$(mktemp -d "${TMPDIR:-/tmp}/malloc-conformance.XXXXXX")
    trap 'rm -rf "$WORK"' EXIT
    export LC_ALL=C TMPDIR=$WORK
    if [[ -z ${LIBNEAP-} ]]; then
        cargo build --quiet --profile preload --package neap-preload
        LIBNEAP=${CARGO_TARGET_DIR:-target}/preload/libneap.so
    fi
    LIBRARY=$(realpath "$LIBNEAP")
    # A variable that the library does not know makes it speak up: proof that it is in use.
    [[ $(NEAP_PROOF=1 LD_PRELOAD=$LIBRARY sort </dev/null 2>&1) == *NEAP_PROOF* ]] || fail "$LIBRARY is not used by programs"
    if [[ -n ${GLIBC_SOURCE-} ]]; then
        SOURCE=$(realpath "$GLIBC_SOURCE")
    else
        fetch
    fi
    [[ -d $SOURCE/malloc && -d $SOURCE/support ]] || fail "$SOURCE is no source of glibc"
    build_support

    local files=("$SOURCE"/malloc/mallocbug.c "$SOURCE"/malloc/tst-*.c) file name reason system neap
    local passed=0 failed=0 elsewhere=0 others=0
    if [[ $# != 0 ]]; then
        files=()
        for name in "$@"; do
            [[ -r $SOURCE/malloc/$name.c ]] || fail "no such test: $name"
            files+=("$SOURCE/malloc/$name.c")
        done
    fi
    row test system neap ''
    for file in "${files[@]}"; do
        name=$(basename "$file" .c)
        reason=$(reason_against "$name")
        if [[ -n $reason && $# == 0 ]]; then
            row "$name" - - "does not apply: $reason"
            others=$((others + 1))
            continue
        fi
        if ! compile "$file" -o "$WORK/$name" "$WORK/libsupport.a" 2>"$WORK/$name.log"; then
            grep -m 3 -E 'error|undefined' "$WORK/$name.log" >&2 || true
            fail "cannot compile $file"
        fi
        system=$(verdict "$name" system)
        neap=$(verdict "$name" neap)
        reason=
        if [[ $neap == pass ]]; then
            passed=$((passed + 1))
        elif [[ $system != pass ]]; then
            reason="not on this system either"
            elsewhere=$((elsewhere + 1))
        else
            failed=$((failed + 1))
            tail -n 20 "$WORK/$name-neap.log" >&2
        fi
        row "$name" "$system" "$neap" "$reason"
    done
    printf '%d pass, %d fail, %d not on this system, %d do not apply\n' "$passed" "$failed" "$elsewhere" "$others"
    [[ $failed == 0 ]] || fail "$failed of glibc's tests fail on libneap"
}

main "$@"
