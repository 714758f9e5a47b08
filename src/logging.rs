//! Logs for programs: quiet by default, so that what a program prints is what it has to say.

use tracing_subscriber::EnvFilter;

/// Without `RUST_LOG`: our own warnings, and nothing of librdkafka. Its log repeats as an error what the program is
/// told anyway (a refused connection, once a second), which hides the lesson.
const DEFAULT_FILTER: &str = "warn,rdkafka=off,librdkafka=off";

/// Sends log lines to standard error. `RUST_LOG=info`, or `RUST_LOG=librdkafka=debug`, shows more.
///
/// A second call does nothing: the first subscriber of a process stays.
pub fn init() {
    let filter =
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(DEFAULT_FILTER));
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .try_init();
}
