#!/usr/bin/env bash
# Says what is missing on this machine and how to get it, then builds broker and first example.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

need() {
    command -v "$1" >/dev/null || die "Missing: $1. $2"
    say "found $1: $("$1" --version 2>&1 | head -n 1)"
}

need cargo "Install Rust from https://rustup.rs"
need rustc "Install Rust from https://rustup.rs"
need cc "Install a C compiler (Debian and Ubuntu: build-essential; macOS: xcode-select --install)"
need make "Install GNU make"

required=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
present=$(rustc --version | sed 's/^rustc \([0-9.]*\).*/\1/')
if [ "$(printf '%s\n%s\n' "$required" "$present" | sort -V | head -n 1)" != "$required" ]; then
    die "Rust $present is too old: $required or newer is needed. Run: rustup update stable"
fi

build_with_broker "$(first_example)"
say "Ready. See the first event with: make example-1"
