#!/usr/bin/env bash
# Runs a command beside a real Apache Kafka, without Docker.
#
#   scripts/with-apache-kafka.sh cargo test -p embedded-broker --test conformance
#   scripts/with-apache-kafka.sh --tools-only cargo test -p embedded-broker --test kafka_tools
#
# Fetches Kafka's jars with Maven (once, 54 MB), starts one fresh server on free loopback ports, runs the command with
#   KAFKA_BOOTSTRAP_SERVERS       the server's address
#   KAFKA_SASL_BOOTSTRAP_SERVERS  that of its listener with SASL, for the user alice with the password wonderland-7
#   KAFKA_TOOLS_CLASSPATH         the class path of Kafka's command line tools
# stops the server, removes its data, and exits with the command's exit code.
# --tools-only starts no server and sets only KAFKA_TOOLS_CLASSPATH.
#
# Without java or Maven it says so and exits 0; with REQUIRE_APACHE_KAFKA=1 it fails instead.
set -euo pipefail
# Each background job gets a process group: an interrupt reaches this script alone, which then ends all that it started.
set -m

readonly start_deadline_seconds=60
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
readonly root
readonly settings=$root/scripts/apache-kafka
readonly home=${CARGO_TARGET_DIR:-$root/target}/apache-kafka
readonly libraries=$home/libs

run_directory=
server_pid=
command_pid=

say() {
    printf 'with-apache-kafka: %s\n' "$*" >&2
}

usage() {
    sed -n '2,14s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
    exit 2
}

# Nothing to run with: a plain machine passes, a machine that promised to have it does not.
skip() {
    if [[ ${REQUIRE_APACHE_KAFKA:-0} == 1 ]]; then
        say "$1, and REQUIRE_APACHE_KAFKA=1 asks for it"
        exit 1
    fi
    printf 'skipped: %s\n' "$1"
    exit 0
}

# The data is thrown away, so the server needs no orderly shutdown; its log stays.
# shellcheck disable=SC2317,SC2329 # The EXIT trap calls it; older versions have the first number for it.
clean_up() {
    trap - EXIT INT TERM HUP
    if [[ -n $command_pid ]]; then
        kill -TERM -- "-$command_pid" 2>/dev/null || true
    fi
    stop_server
    if [[ -n $run_directory ]]; then
        mv -f "$run_directory/server.log" "$home/server.log" 2>/dev/null || true
        rm -rf "$run_directory"
    fi
}

stop_server() {
    if [[ -n $server_pid ]]; then
        kill -KILL "$server_pid" 2>/dev/null || true
        wait "$server_pid" 2>/dev/null || true
        server_pid=
    fi
}

# Leaves the jars in $libraries. The pom.xml copied last marks a complete set of exactly these versions.
fetch_libraries() {
    if cmp -s "$settings/pom.xml" "$libraries/pom.xml"; then
        return
    fi
    command -v mvn >/dev/null || skip "Maven (mvn) is missing, it would fetch Apache Kafka's jars"
    say "fetching Apache Kafka's jars"
    local fresh
    mkdir -p "$home"
    fresh=$(mktemp -d "$home/libs.XXXXXX")
    if ! mvn --quiet --batch-mode -Dstyle.color=never --file "$settings/pom.xml" \
        dependency:copy-dependencies -DoutputDirectory="$fresh" >&2; then
        rm -rf "$fresh"
        say "Maven could not fetch them"
        exit 1
    fi
    cp "$settings/pom.xml" "$fresh/pom.xml"
    rm -rf "$libraries"
    # Another run may have put its own set there meanwhile: it is the same.
    mv -T "$fresh" "$libraries" 2>/dev/null || rm -rf "$fresh"
}

# A port below the range the kernel hands out by itself, on which nothing listens now.
free_port() {
    local port
    while true; do
        port=$((10240 + RANDOM % 22000))
        if ! (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
            echo "$port"
            return
        fi
    done
}

# A quick start counts for more than peak speed: only the first compiler, and a small heap. A benchmark asks for others.
read -ra java_options <<<"${APACHE_KAFKA_JAVA_OPTIONS:--Xms256m -Xmx512m -XX:TieredStopAtLevel=1}"
readonly java_server=(java "${java_options[@]}" -Xshare:auto
    -Dlog4j2.configurationFile="$settings/log4j2.properties" -Dkafka.log.level=INFO -cp "$libraries/*")

# Formats fresh data and starts a server on it: returns 0 once it serves, 1 if it died.
start_server() {
    local port sasl_port controller_port properties=$run_directory/server.properties log=$run_directory/server.log
    port=$(free_port)
    sasl_port=$(free_port)
    controller_port=$(free_port)
    rm -rf "$run_directory/data"
    {
        cat "$settings/server.properties"
        printf 'listeners=PLAINTEXT://127.0.0.1:%s,SASL_PLAINTEXT://127.0.0.1:%s,CONTROLLER://127.0.0.1:%s\n' \
            "$port" "$sasl_port" "$controller_port"
        printf 'controller.quorum.bootstrap.servers=127.0.0.1:%s\n' "$controller_port"
        printf 'log.dirs=%s\n' "$run_directory/data"
    } >"$properties"
    # The cluster id is 16 bytes in URL-safe base64; any will do.
    "${java_server[@]}" kafka.tools.StorageTool format --standalone --cluster-id RXZlbnRzLWluLVJ1c3QtMQ \
        --add-scram 'SCRAM-SHA-512=[name=alice,password=wonderland-7]' --config "$properties" >"$log" 2>&1 || return 1
    "${java_server[@]}" kafka.Kafka "$properties" >>"$log" 2>&1 </dev/null &
    server_pid=$!
    local deadline=$((SECONDS + start_deadline_seconds))
    until grep -q 'Kafka Server started' "$log"; do
        if ! kill -0 "$server_pid" 2>/dev/null; then
            server_pid=
            return 1
        fi
        if ((SECONDS >= deadline)); then
            say "no answer within $start_deadline_seconds s"
            stop_server
            return 1
        fi
        sleep 0.05
    done
    export KAFKA_BOOTSTRAP_SERVERS=127.0.0.1:$port KAFKA_SASL_BOOTSTRAP_SERVERS=127.0.0.1:$sasl_port
}

tools_only=
if [[ ${1:-} == --tools-only ]]; then
    tools_only=1
    shift
fi
[[ $# -gt 0 ]] || usage

command -v java >/dev/null || skip "java is missing, Apache Kafka runs on it"
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
fetch_libraries
export KAFKA_TOOLS_CLASSPATH="$settings:$libraries/*"

if [[ -z $tools_only ]]; then
    run_directory=$(mktemp -d "$home/run.XXXXXX")
    # Between choosing a port and using it another process may take it: try again.
    for attempt in 1 2 3; do
        if start_server; then
            break
        fi
        if ((attempt == 3)) || ! grep -q 'Address already in use' "$run_directory/server.log"; then
            say "Apache Kafka did not start; the end of $home/server.log:"
            tail -n 40 "$run_directory/server.log" >&2
            exit 1
        fi
    done
    say "Apache Kafka answers on $KAFKA_BOOTSTRAP_SERVERS, its log is $run_directory/server.log"
fi

# In the background, so that a signal to this script is acted on at once.
"$@" <&0 &
command_pid=$!
code=0
wait "$command_pid" || code=$?
command_pid=
exit "$code"
