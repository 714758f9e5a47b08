//! The mistake: a number of tries is taken for a back-off. And the smaller one: a back-off without chance in it.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};

/// How long the service takes to start again.
const RESTART: Duration = Duration::from_millis(500);
const CLIENTS: usize = 1_000;

// ANCHOR: mistake
/// "Exponential back-off: retries = 3".
fn three_tries(mut call: impl FnMut() -> bool) -> bool {
    (0..3).any(|_| call())
}

/// Waits that grow, up to a longest one, and a number of them.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(50))
        .with_max_delay(Duration::from_secs(1))
        .with_max_times(5)
}
// ANCHOR_END: mistake

/// Calls that come within the same millisecond, at most, when every client meets the failure at the same moment.
fn crowd(backoff: ExponentialBuilder) -> usize {
    let mut calls = vec![0; 10_000];
    for _ in 0..CLIENTS {
        let mut at = Duration::ZERO;
        for delay in backoff.build() {
            at += delay;
            calls[at.as_millis() as usize] += 1;
        }
    }
    calls.into_iter().max().unwrap_or_default()
}

fn main() {
    let started = Instant::now();
    let answers = || started.elapsed() >= RESTART;
    let verdict = |done| if done { "done" } else { "given up" };
    let done = three_tries(answers);
    let took = started.elapsed().as_millis();
    println!("3 tries at once: {} after {took} ms", verdict(done));

    let mut tries = 1;
    let done = answers()
        || backoff().build().any(|delay| {
            std::thread::sleep(delay);
            tries += 1;
            answers()
        });
    println!("{tries} tries, each later: {}", verdict(done));

    println!("{CLIENTS} clients, calls in the worst millisecond:");
    println!("  without chance {:>5}", crowd(backoff()));
    println!("  with chance    {:>5}", crowd(backoff().with_jitter()));
}
