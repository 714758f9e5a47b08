#!/usr/bin/env bash
# Every script through shellcheck. It is not part of a Rust toolchain, so where it is missing that is said and no more.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

if ! command -v shellcheck >/dev/null; then
    say "lint: shellcheck is not installed, so the scripts were not checked"
    exit 0
fi
shellcheck --external-sources scripts/*.sh .ci/run
