#!/usr/bin/env bash
# How much of the code the tests reach, by cargo-llvm-cov. Missing tools are installed where `make clean` removes them,
# or named.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

readonly tools=${CARGO_TARGET_DIR:-target}/tools
PATH=$(pwd)/$tools/bin:$tools/bin:$PATH

if ! command -v cargo-llvm-cov >/dev/null; then
    say "cargo-llvm-cov is missing: installing it into $tools"
    cargo install --locked --root "$tools" cargo-llvm-cov ||
        die "Could not install cargo-llvm-cov. By hand: cargo install cargo-llvm-cov"
fi
if [ ! -x "$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/llvm-profdata" ] &&
    [ -z "${LLVM_PROFDATA:-}" ]; then
    command -v rustup >/dev/null || die "llvm-profdata is missing: set LLVM_COV and LLVM_PROFDATA to the LLVM tools of $(rustc --version)"
    rustup component add llvm-tools
fi
# Not run here: the tests of whole commands, which build programs of their own, without the counters.
cargo llvm-cov --workspace --exclude-from-test workspace-tests --summary-only
