#!/usr/bin/env bash
# Measures the embedded broker beside Apache Kafka in one run, under librdkafka's own load generator.
#
#   scripts/bench-broker.sh             throughput, latency, memory, start
#   RUNS=1 scripts/bench-broker.sh      a quick look instead of medians of 3
#
# One partition, acks=all, linger 5 ms, uncompressed, a new topic for each run, the brokers in turn. The load generator,
# rdkafka_performance, is compiled from the sources that the rdkafka crate brings. Needs Java and Maven for Apache Kafka.
#
# Each topic is also read by a client that has one core. librdkafka allocates every record in one thread and frees it in
# another, and in glibc's allocator the two wait for each other: the faster a broker answers, the more they overlap, and the
# slower small records are read. On one core they take turns, and the brokers are compared instead of the allocator.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
readonly target=${CARGO_TARGET_DIR:-$root/target} runs=${RUNS:-3} port=${BENCH_PORT:-19392}
readonly work=$target/bench-broker
readonly load=$work/rdkafka_performance broker_binary=$target/release/embedded-broker

# The second half runs beside Apache Kafka, which is started with a heap and a compiler fit for a measurement.
if [[ ${1:-} != --beside-kafka ]]; then
    export APACHE_KAFKA_JAVA_OPTIONS="-Xms1g -Xmx1g -XX:+UseG1GC"
    exec scripts/with-apache-kafka.sh "${BASH_SOURCE[0]}" --beside-kafka
fi

build() {
    local library sources
    mkdir -p "$work"
    cargo build --release --quiet --package embedded-broker
    cargo build --release --quiet --package kafka-event-streaming
    library=$(find "$target/release/build" -path '*rdkafka-sys*' -name librdkafka.a -print -quit)
    sources=$(cargo metadata --format-version 1 |
        sed -n 's|.*"manifest_path":"\([^"]*rdkafka-sys[^"]*\)/Cargo.toml".*|\1|p')/librdkafka
    cc -O2 -w -I"$sources/src" -I"$(dirname "$library")" -o "$load" \
        "$sources/examples/rdkafka_performance.c" "$library" -lz -lm -lpthread -ldl -lrt
}

start_embedded() {
    "$broker_binary" serve --listen "127.0.0.1:$port" >"$work/broker.log" 2>&1 &
    broker_pid=$!
    trap 'kill "$broker_pid" 2>/dev/null || true' EXIT
    until "$broker_binary" probe --bootstrap-servers "127.0.0.1:$port" >/dev/null 2>&1; do sleep 0.01; done
}

stop_embedded() {
    kill "$broker_pid"
    # It was killed, and its exit code says so.
    wait "$broker_pid" 2>/dev/null || true
}

# The last figure in MB/s that the load generator prints.
megabytes() { grep -oE '[0-9.]+ MB/s' | tail -n 1 | cut -d ' ' -f 1; }

# produce_and_consume BOOTSTRAP NAME SIZE COUNT: appends one line to each of two lists.
produce_and_consume() {
    local topic=bench-$2-$3-$RANDOM
    "$load" -P -t "$topic" -p 0 -s "$3" -c "$4" -b "$1" -a -1 -i 100000 -X linger.ms=5 \
        -X queue.buffering.max.messages=1000000 2>&1 | megabytes >>"$work/$2-produce-$3"
    local read=("$load" -C -t "$topic" -p 0 -o beginning -c "$4" -b "$1")
    "${read[@]}" 2>&1 | megabytes >>"$work/$2-consume-$3"
    taskset --cpu-list 1 "${read[@]}" 2>&1 | megabytes >>"$work/$2-consume-on-one-core-$3"
}

# latency BOOTSTRAP NAME: end to end at 1,000 records/s, linger 0, without the first 500. Microseconds, one a line.
latency() {
    local topic=bench-latency-$2-$RANDOM reader
    "$load" -P -t "$topic" -p 0 -s 100 -c 1 -b "$1" -a -1 >/dev/null 2>&1
    "$load" -C -l -A "$work/$2-latency.all" -t "$topic" -p 0 -o end -c 6000 -b "$1" -X fetch.wait.max.ms=100 \
        >/dev/null 2>&1 &
    reader=$!
    sleep 1 # The reader has to stand at the end before the first record: it prints nothing that says so.
    "$load" -P -l -t "$topic" -p 0 -s 100 -c 6000 -r 1000 -b "$1" -a -1 -X linger.ms=0 >/dev/null 2>&1
    wait "$reader"
    grep -E '^[0-9]+' "$work/$2-latency.all" | tail -n +501 | sort -n >"$work/$2-latency"
}

# percentile FILE P
percentile() { awk -v p="$2" '{ v[NR] = $1 } END { print v[int((NR - 1) * p / 100) + 1] }' "$1"; }

# spread FILE: minimum, median, maximum of a list.
spread() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%8.0f %8.0f %8.0f", v[1], v[int((NR + 1) / 2)], v[NR] }'; }

row() { printf '%-20s %s  |%s\n' "$1" "$(spread "$work/embedded-$2")" "$(spread "$work/kafka-$2")"; }

main() {
    build
    rm -f "$work"/embedded-* "$work"/kafka-*
    start_embedded
    local embedded=127.0.0.1:$port kafka=$KAFKA_BOOTSTRAP_SERVERS run
    # A first round that is not counted: Java compiles while it runs, and both touch fresh memory.
    produce_and_consume "$kafka" warm 1024 500000
    produce_and_consume "$embedded" warm 1024 500000
    for ((run = 0; run < runs; run++)); do
        for broker in embedded kafka; do
            produce_and_consume "${!broker}" "$broker" 100 5000000
            produce_and_consume "${!broker}" "$broker" 1024 1000000
        done
    done
    latency "$embedded" embedded
    latency "$kafka" kafka
    printf '%-20s %26s  |%26s\n' 'MB/s, of '"$runs" 'embedded min median max' 'Apache Kafka min median max'
    row 'produce 100 B' produce-100
    row 'produce 1 KiB' produce-1024
    row 'consume 100 B' consume-100
    row 'consume 1 KiB' consume-1024
    row '  on one core 100 B' consume-on-one-core-100
    row '  on one core 1 KiB' consume-on-one-core-1024
    for broker in embedded kafka; do
        printf '%-13s end to end at 1,000/s: p50 %s us, p99 %s us\n' "$broker" \
            "$(percentile "$work/$broker-latency" 50)" "$(percentile "$work/$broker-latency" 99)"
    done
    memory
    start_time
}

# Resident memory of a fresh broker against the payload that it keeps.
memory() {
    stop_embedded
    start_embedded
    printf 'embedded idle: %s kB resident\n' "$(awk '/VmRSS/ { print $2 }' "/proc/$broker_pid/status")"
    "$load" -P -t memory -p 0 -s 1024 -c 700000 -b "127.0.0.1:$port" -a -1 -X linger.ms=5 >/dev/null 2>&1
    printf 'embedded with %s kB of payload: %s kB resident\n' 700000 \
        "$(awk '/VmRSS/ { print $2 }' "/proc/$broker_pid/status")"
}

# From the start of the process to its first answer, in milliseconds, 10 times.
start_time() {
    local times=$work/embedded-start started
    for ((run = 0; run < 10; run++)); do
        stop_embedded
        started=$(date +%s%N)
        "$broker_binary" serve --listen "127.0.0.1:$port" >"$work/broker.log" 2>&1 &
        broker_pid=$!
        until "$broker_binary" probe --bootstrap-servers "127.0.0.1:$port" >/dev/null 2>&1; do :; done
        echo $((($(date +%s%N) - started) / 1000)) >>"$times"
    done
    printf 'embedded start to first ApiVersions answer, probing included, us: %s (min median max)\n' "$(spread "$times")"
}

main
