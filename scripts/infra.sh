#!/usr/bin/env bash
# A broker on localhost:INFRA_PORT: by Docker Compose where a Docker engine answers, else the embedded broker.
#
# up, down, status, logs, reset. What `up` starts is written down in a directory for each port, and `down` stops that
# and nothing else.
set -euo pipefail
# shellcheck source=scripts/common.sh
source "$(dirname "$0")/common.sh"

readonly READY_SECONDS=20 STOP_SECONDS=10
readonly state=${CARGO_TARGET_DIR:-target}/infra/$INFRA_PORT
# compose or embedded: what `up` started on this port.
readonly kind_file=$state/kind
# The embedded broker's process id, and on the second line what tells it from a later process with the same id.
readonly pid_file=$state/pid
readonly log_file=$state/broker.log
# A project for each port, so that two brokers on two ports are two sets of containers.
readonly compose=(docker compose --project-name "kafka-event-streaming-$INFRA_PORT")

main() {
    case ${1:-} in
    up) up ;;
    down) down ;;
    status) status ;;
    logs) logs ;;
    reset) reset ;;
    *) die "usage: scripts/infra.sh up|down|status|logs|reset" ;;
    esac
}

up() {
    case ${INFRA:-} in
    '' | embedded | compose) ;;
    *) die "INFRA=$INFRA is not known: INFRA=embedded, INFRA=compose, or leave it out" ;;
    esac
    look
    case $answer in
    kafka)
        say "A Kafka broker answers on localhost:$INFRA_PORT already ($(owner)): nothing to do."
        return
        ;;
    other)
        die "Port $INFRA_PORT is taken by a program that does not speak Kafka.
Stop that program, or take another port: make infra-up INFRA_PORT=$((INFRA_PORT + 1))"
        ;;
    esac
    choose
    mkdir -p "$state"
    if [ "$kind" = compose ]; then up_compose; else up_embedded; fi
    if [ -n "${KAFKA_BOOTSTRAP_SERVERS:-}" ]; then
        say "Note: KAFKA_BOOTSTRAP_SERVERS is set, so the examples go to $KAFKA_BOOTSTRAP_SERVERS."
    fi
}

# Sets $kind, and says which it took and why. A Docker client without an engine is not enough.
choose() {
    local reason
    if [ -n "${INFRA:-}" ]; then
        kind=$INFRA reason="INFRA=$INFRA asks for it"
    elif ! command -v docker >/dev/null; then
        kind=embedded reason="Docker is not installed"
    elif ! docker version --format '{{.Server.Version}}' >/dev/null 2>&1; then
        kind=embedded reason="no Docker engine answers"
    elif ! docker compose version >/dev/null 2>&1; then
        kind=embedded reason="this Docker has no compose plugin"
    else
        kind=compose reason="a Docker engine answers"
    fi
    if [ "$kind" = compose ] && ! docker compose version >/dev/null 2>&1; then
        die "INFRA=compose needs Docker with its compose plugin, which is missing here."
    fi
    case $kind in
    compose) say "Starting Apache Kafka by Docker Compose: $reason." ;;
    embedded) say "Starting the embedded broker: $reason." ;;
    esac
}

up_embedded() {
    local pid deadline
    [ -n "${broker_binary:-}" ] || build_with_broker "$(first_example)"
    # Counted from here: the build before it may have taken minutes.
    deadline=$((SECONDS + READY_SECONDS))
    # `set -m` gives the broker a process group of its own: Ctrl-C for an example must not reach it. nohup lets it
    # outlive the terminal.
    set -m
    nohup "$broker_binary" serve --listen "127.0.0.1:$INFRA_PORT" --partitions 3 \
        </dev/null >"$log_file" 2>&1 &
    pid=$!
    set +m
    until look && [ "$answer" = kafka ]; do
        kill -0 "$pid" 2>/dev/null || break
        if [ "$SECONDS" -ge "$deadline" ]; then
            kill -KILL "$pid" 2>/dev/null || true
            die "The embedded broker did not answer within $READY_SECONDS s. See $log_file"
        fi
        sleep 0.02
    done
    # Written down only now: of two that were started at the same moment, one has found the port taken.
    if ! kill -0 "$pid" 2>/dev/null; then
        look
        [ "$answer" = kafka ] || die "The embedded broker ended at once. It said:
$(tail -n 20 "$log_file")"
        say "Another broker was faster on localhost:$INFRA_PORT."
        return
    fi
    printf '%s\n%s\n' "$pid" "$(identity "$pid")" >"$pid_file"
    echo embedded >"$kind_file"
    say "The embedded broker is ready on localhost:$INFRA_PORT (process $pid, log $log_file)."
    say "It keeps everything in memory. Stop it with: make infra-down"
}

up_compose() {
    echo compose >"$kind_file"
    # --wait returns when every healthcheck passes.
    if ! "${compose[@]}" up --detach --wait --wait-timeout 180; then
        die "The containers did not get ready. See: make infra-logs. Remove them with: make infra-down"
    fi
    look
    [ "$answer" = kafka ] || die "The containers run, but no Kafka broker answers on localhost:$INFRA_PORT. See: make infra-logs"
    say "Apache Kafka is ready on localhost:$INFRA_PORT, Kafka UI on http://localhost:$INFRA_UI_PORT."
    say "Stop both with: make infra-down"
}

down() {
    case $(started) in
    compose)
        "${compose[@]}" down "$@"
        say "Stopped Apache Kafka and Kafka UI."
        ;;
    embedded)
        stop_embedded
        say "Stopped the embedded broker on localhost:$INFRA_PORT."
        ;;
    '') say "make infra-up started nothing on port $INFRA_PORT that still runs: nothing to stop." ;;
    esac
    rm -f "$kind_file" "$pid_file"
}

stop_embedded() {
    local pid deadline=$((SECONDS + STOP_SECONDS))
    pid=$(head -n 1 "$pid_file")
    kill -TERM "$pid"
    while is_ours "$pid"; do
        [ "$SECONDS" -lt "$deadline" ] || die "Process $pid was asked to stop $STOP_SECONDS s ago and still runs."
        sleep 0.02
    done
}

status() {
    look
    case $answer in
    kafka) say "A Kafka broker answers on localhost:$INFRA_PORT ($(owner))." ;;
    other) say "Something answers on localhost:$INFRA_PORT that does not speak Kafka." ;;
    nothing) say "Nothing answers on localhost:$INFRA_PORT. Start a broker with: make infra-up" ;;
    esac
    if [ "$(started)" = compose ]; then "${compose[@]}" ps; fi
}

logs() {
    case $(cat "$kind_file" 2>/dev/null) in
    compose) "${compose[@]}" logs --tail 200 ;;
    *)
        [ -f "$log_file" ] || die "No log: make infra-up has not started a broker on port $INFRA_PORT."
        say "$log_file:"
        tail -n 200 "$log_file"
        ;;
    esac
}

reset() {
    # The embedded broker forgets by itself; with compose the volume holds the data.
    if [ "$(started)" = compose ]; then down --volumes; else down; fi
    up
}

# What `up` started on this port and is still there: compose, embedded, or nothing.
started() {
    case $(cat "$kind_file" 2>/dev/null) in
    compose) say compose ;;
    embedded) if is_ours "$(head -n 1 "$pid_file")"; then say embedded; fi ;;
    esac
}

owner() {
    case $(started) in
    compose) say "Apache Kafka in Docker, started by make infra-up" ;;
    embedded) say "the embedded broker, process $(head -n 1 "$pid_file"), started by make infra-up" ;;
    *) say "not started by make infra-up here" ;;
    esac
}

# True when this process is the one that was written down, and not a later one with the same id.
is_ours() {
    [ -n "$(identity "$1")" ] && [ "$(identity "$1")" = "$(sed -n 2p "$pid_file")" ]
}

# Start time and command line of a process, or nothing. A zombie has no command line, so it counts as gone.
identity() {
    if [ -d /proc/self ]; then
        # Field 22 of stat is the start time; the name in field 2 may hold blanks, so count from behind it.
        local fields
        fields=$(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null) || return 0
        [ "${fields%% *}" != Z ] || return 0
        printf '%s %s' "$(cut -d ' ' -f 20 <<<"$fields")" "$(tr '\0' ' ' <"/proc/$1/cmdline" 2>/dev/null)"
    else
        ps -o lstart=,command= -p "$1" 2>/dev/null || true
    fi
}

main "$@"
