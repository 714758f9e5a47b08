#!/usr/bin/env bash
# why.sh TOPIC GROUP: why the group reads nothing of the topic, on the broker that `make infra-up` starts or that a person
# has named.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

name_broker
cargo run --quiet --bin why-nothing -- --topic "$1" --group "$2"
