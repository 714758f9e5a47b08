#!/usr/bin/env bash
# exercise.sh 1a: run the check of exercise 01a. exercise.sh 1: of every exercise of lesson 1.
# exercise.sh list: say of each exercise whether it is done, and which one is next.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

main() {
    if [ "$1" = list ]; then
        list
        return
    fi
    local number=$1 name found=''
    [[ $number =~ ^[0-9][a-z]?$ ]] && number=0$number
    for name in $(names); do
        [[ $name == "$number"* ]] || continue
        found=yes
        check "$name"
    done
    [ -n "$found" ] || die "There is no exercise $1. These exist:
$(for name in $(names); do printf '  make exercise-%-4s exercises/%s.rs\n' "$(number_of "$name")" "$name"; done)"
}

names() { basename -s .rs exercises/[0-9][0-9][a-z]_*.rs; }

# 01a_delivery_report: 1a
number_of() {
    local number=${1%%_*}
    say "${number#0}"
}

check() {
    local next
    # Thirty lines of a backtrace hide the one that the check says.
    RUST_BACKTRACE=0 cargo test --quiet --bin "$1" ||
        die "
Exercise $(number_of "$1") does not pass yet: edit exercises/$1.rs and run it again.
Stuck? The hints are in info.toml, under \"$1\"; a solution is in solutions/$1.rs."
    next=$(first_unwritten)
    say "Exercise $(number_of "$1") passes.${next:+ Next: make exercise-$(number_of "$next")}"
}

# A gap is all that the stubs have of it, so that nothing needs to be built to see that one is open.
is_unwritten() { grep -q 'todo!(' "exercises/$1.rs"; }

first_unwritten() {
    local name
    for name in $(names); do
        ! is_unwritten "$name" || { say "$name" && break; }
    done
}

list() {
    local name state note next='' finished=0 count=0
    build_written
    for name in $(names); do
        count=$((count + 1))
        state=open
        look_at "$name"
        if [ -z "$note" ]; then
            state="done" finished=$((finished + 1))
        elif [ -z "$next" ]; then
            state=next next=$name
        fi
        printf '  %-4s  make exercise-%-4s exercises/%s.rs%s\n' "$state" "$(number_of "$name")" "$name" "${note:+ ($note)}"
    done
    say "$finished of $count done."
}

# Sets $executables to the checks of the exercises that have no gap left, one path a line.
build_written() {
    local name written=()
    for name in $(names); do is_unwritten "$name" || written+=(--bin "$name"); done
    executables=''
    [ ${#written[@]} -gt 0 ] || return 0
    # One that does not compile stops the others, and its errors are printed. Then each is built alone.
    executables=$(executables_of "${written[@]}") ||
        executables=$(for name in $(names); do is_unwritten "$name" || executables_of --bin "$name" 2>/dev/null || true; done)
}

# Builds the checks, and prints where cargo put them: CARGO_TARGET_DIR and .cargo/config.toml move them.
executables_of() {
    cargo test --quiet --no-run --message-format=json-render-diagnostics "$@" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

# Sets $note to why an exercise is not done, or to nothing.
look_at() {
    local executable passed
    note="has a todo!(...)"
    if is_unwritten "$1"; then return; fi
    note="does not compile"
    executable=$(grep "/$1-[0-9a-f]*\$" <<<"$executables") || return 0
    # What passed and was not built again since is not run again: fifteen checks take half a minute.
    passed=$executable.passed
    if [ "$executable" -nt "$passed" ]; then
        note="its check fails: make exercise-$(number_of "$1") says why"
        "$executable" >/dev/null 2>&1 || return 0
        touch "$passed"
    fi
    note=''
}

main "$@"
