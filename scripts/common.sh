# shellcheck shell=bash
# What the scripts share. Sourced after `set -euo pipefail`; from here on the repository's root is the directory.

cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit

# The broker's port on this machine. The default is also that of docker-compose.yml and src/config/bootstrap_servers.rs: a test compares
# them.
INFRA_PORT=${INFRA_PORT:-9092}
INFRA_UI_PORT=${INFRA_UI_PORT:-8080}
export INFRA_PORT INFRA_UI_PORT

# Tells a program that is started from here which broker to ask, unless a person has named one. The default needs no
# telling; a port of one's own does.
name_broker() {
    if [ -z "${KAFKA_BOOTSTRAP_SERVERS+set}" ] && [ "$INFRA_PORT" != 9092 ]; then
        export KAFKA_BOOTSTRAP_SERVERS=localhost:$INFRA_PORT
    fi
}

say() { printf '%s\n' "$*"; }

die() {
    printf '%s\n' "$*" >&2
    exit 1
}

# build_with_broker EXAMPLE: sets $broker_binary and $example_binary. The first is handed on to the scripts that this one
# calls.
#
# One invocation builds both. In two, cargo would choose the features of the crates they share twice, differently, and
# compile those crates twice. Cargo itself is asked for the paths: CARGO_TARGET_DIR and .cargo/config.toml move them.
build_with_broker() {
    local executables features options=(--message-format=json-render-diagnostics)
    if measures "$1"; then
        say "$1 measures, so it is built with --release. The first time that takes minutes."
        options+=(--release)
    fi
    features=$(features_of "$1")
    if needs_openssl "$features" && ! has_openssl; then die "$(openssl_missing)"; fi
    if [ -n "$features" ]; then options+=(--features "$features"); fi
    executables=$(cargo build "${options[@]}" \
        --package kafka-event-streaming --package embedded-broker --bin embedded-broker --example "$1" |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
    broker_binary=$(grep '/embedded-broker$' <<<"$executables")
    export broker_binary
    # shellcheck disable=SC2034 # read by scripts/example.sh
    example_binary=$(grep "/examples/$1\$" <<<"$executables")
}

# The targets that cargo builds only with features, one a line: package, kind, name, and the features as --features takes
# them. Cargo reads them from `required-features` in Cargo.toml, where they stand, and so nobody has to write them twice.
gated_targets() {
    cargo metadata --no-deps --format-version=1 | tr '{' '\n' | awk -F '"' '
        /^"name":"[^"]*","version":/ { package = $4 }
        /^"kind":.*"required-features":\["/ {
            name = features = $0
            sub(/.*,"name":"/, "", name)
            sub(/".*/, "", name)
            sub(/.*"required-features":\["/, "", features)
            sub(/"\].*/, "", features)
            # Another package may have a feature of the same name, and is not to be built anew for it.
            gsub(/","/, "," package "/", features)
            print package, $4, name, package "/" features
        }'
}

# features_of EXAMPLE: what it needs to be built, as --features takes it. Nothing for most.
features_of() { gated_targets | awk -v name="$1" '$2 == "example" && $3 == name { print $4 }'; }

# needs_openssl FEATURES: whether librdkafka is built with TLS by them. The TLS of the embedded broker is written in Rust.
needs_openssl() { [[ ,$1, =~ ,(kafka-event-streaming|book-mistakes)/tls, ]]; }

# Whether OpenSSL can be built against: openssl-sys looks for it in the same places.
has_openssl() {
    [ -n "${OPENSSL_DIR:-}${OPENSSL_INCLUDE_DIR:-}" ] || pkg-config --exists openssl 2>/dev/null ||
        [ -d "$(brew --prefix openssl@3 2>/dev/null)" ]
}

openssl_missing() {
    cat <<'END'
It speaks TLS, for which librdkafka is built with OpenSSL, whose headers (or pkg-config) are missing. To install them:
  Debian, Ubuntu   apt install libssl-dev pkg-config
  Fedora, RHEL     dnf install openssl-devel pkgconf-pkg-config
  Arch             pacman -S openssl pkgconf
  Alpine           apk add openssl-dev pkgconf
  macOS            brew install openssl@3
If they are elsewhere, set OPENSSL_DIR.
END
}

# measures EXAMPLE: whether it is about speed, of which a debug build has little.
measures() { [[ $1 == 10_* ]]; }

# Whatever is started before an example is chosen is built with this one, so that the example finds everything built.
first_example() {
    basename examples/01_*.rs .rs
}

# Sets $answer to what answers on localhost:INFRA_PORT: kafka, other, or nothing. The port is tried first, so that a
# question about an idle machine needs no build.
# shellcheck disable=SC2034 # read by the script that sources this one
look() {
    local result=0
    answer=nothing
    (: <"/dev/tcp/localhost/$INFRA_PORT") 2>/dev/null || return 0
    [ -n "${broker_binary:-}" ] || build_with_broker "$(first_example)"
    "$broker_binary" probe --bootstrap-servers "localhost:$INFRA_PORT" >/dev/null 2>&1 || result=$?
    case $result in
    0) answer=kafka ;;
    1) ;;
    *) answer=other ;;
    esac
}
