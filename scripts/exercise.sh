#!/usr/bin/env bash
# exercise.sh 1a: run the check of exercise 01a. exercise.sh 1: of every exercise of lesson 1.
# exercise.sh list: say of each exercise whether it passes.
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
    cargo test --quiet --bin "$1" ||
        die "
Exercise $(number_of "$1") does not pass yet: edit exercises/$1.rs and run it again.
Stuck? The hints are in info.toml, under \"$1\"; a solution is in solutions/$1.rs."
    say "Exercise $(number_of "$1") passes."
}

list() {
    local name result
    # Built first and aloud, so that what is timed below is the check and an error of the compiler is seen.
    cargo test --quiet --bins --no-run
    for name in $(names); do
        if cargo test --quiet --bin "$name" >/dev/null 2>&1; then result=passes; else result=open; fi
        printf '  make exercise-%-4s %-8s exercises/%s.rs\n' "$(number_of "$name")" "$result" "$name"
    done
}

main "$@"
