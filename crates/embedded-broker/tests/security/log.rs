//! What the broker logs, kept so that tests can read it.

use std::io;
use std::sync::{Mutex, Once};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::support::wait::eventually;

static INSTALLED: Once = Once::new();
static WRITTEN: Mutex<Vec<u8>> = Mutex::new(Vec::new());

/// Keeps what is logged from now on. Every test calls it first.
pub(crate) fn keep() {
    INSTALLED.call_once(|| {
        tracing_subscriber::fmt()
            .with_env_filter("embedded_broker=debug")
            .with_ansi(false)
            .with_writer(Keep)
            .init();
    });
}

/// All that was logged.
pub(crate) fn all() -> String {
    let written = WRITTEN.lock().expect("no test died while it wrote");
    String::from_utf8(written.clone()).expect("logs are text")
}

/// Waits for a line that holds both texts: the address of a client, and what is said of it.
pub(crate) async fn says(client: &str, text: &str) {
    let missing = format!("a line of the log with {client:?} and {text:?}");
    let found = async || {
        all()
            .lines()
            .find(|line| line.contains(client) && line.contains(text))
            .map(str::to_owned)
    };
    eventually(Duration::from_secs(5), &missing, found).await;
}

struct Keep;

impl io::Write for &Keep {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut written = WRITTEN.lock().expect("no test died while it wrote");
        written.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Keep {
    type Writer = &'w Keep;

    fn make_writer(&'w self) -> Self::Writer {
        self
    }
}
