#!/usr/bin/env bash
# Clippy over everything, with warnings denied. What needs features to be built, cargo passes over without a word: it is
# looked at by itself, with these and no more.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

cargo clippy --workspace --all-targets -- --deny warnings
targets=$(gated_targets)
while read -r _ kind name features; do
    if needs_openssl "$features" && ! has_openssl; then
        say "clippy: $kind $name skipped. $(openssl_missing)"
        continue
    fi
    say "clippy: $kind $name with $features"
    # Of all packages, so that what they share is not looked at anew.
    cargo clippy --workspace --features "$features" "--$kind" "$name" -- --deny warnings </dev/null
done <<<"$targets"
