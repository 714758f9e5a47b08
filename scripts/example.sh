#!/usr/bin/env bash
# example.sh N [ARGUMENT...]: build and run example N, with a broker started when none answers.
# example.sh all: every example in order, to the first failure.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

main() {
    local number=$1
    shift
    if [ "$number" = all ]; then
        local file
        for file in examples/[0-9][0-9]_*.rs; do run_or_skip "$file"; done
    else
        local name
        name=$(name_of "$number")
        run "$name" "$@"
    fi
}

# name_of 1, or 01: 01_produce_consume
name_of() {
    local number=$1 file
    [[ $number =~ ^[0-9]$ ]] && number=0$number
    for file in examples/"$number"_*.rs; do
        if [ -f "$file" ]; then
            basename "$file" .rs
            return
        fi
    done
    die "There is no example $1. These exist:
$(for file in examples/[0-9][0-9]_*.rs; do list_line "$file"; done)"
}

# make example-1       produce and consume
list_line() {
    local number
    number=$(basename "$1" | sed 's/^0*\([0-9]*\)_.*/\1/')
    printf '  make example-%-3s %s\n' "$number" "$(title "$1" | sed 's/^[^:]*: //')"
}

# title FILE: Example 1: produce and consume
title() { sed -n '1s|^//! \(Example [0-9]*: .*\)\.$|\1|p' "$1"; }

# Those who want to see all are not kept from the others by what one of them needs.
run_or_skip() {
    local name
    name=$(basename "$1" .rs)
    if needs_openssl "$(features_of "$name")" && ! has_openssl; then
        say "$(title "$1"): skipped. $(openssl_missing)"
    else
        run "$name"
    fi
}

run() {
    local name=$1
    shift
    build_with_broker "$name"
    # A person who names a broker wants that one: the example says so if it does not answer, and nothing is started.
    if [ -z "${KAFKA_BOOTSTRAP_SERVERS+set}" ] && ! brings_its_broker "$name"; then
        ensure_broker
    fi
    "$example_binary" "$@"
}

# brings_its_broker EXAMPLE: whether it starts one itself, because that one's certificates are made on the spot.
brings_its_broker() { [[ $1 == 09_* ]]; }

ensure_broker() {
    look
    case $answer in
    kafka) ;;
    nothing)
        say "Nothing answers on localhost:$INFRA_PORT."
        scripts/infra.sh up
        say ""
        ;;
    # It has the words for this.
    other) scripts/infra.sh up ;;
    esac
    name_broker
}

main "$@"
