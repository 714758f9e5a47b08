//! Children of this very program are stopped by asking and by force.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test ends by a panic"
)]

use std::time::Duration;

use kafka_event_streaming::child::{self, Child};
use tokio::sync::mpsc;
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(20);

/// Set for the children only: the test below is then the child's program.
const ROLE: &str = "CHILD_OF_TESTS";

/// The child's side. Run by nobody else it does nothing.
#[tokio::test]
async fn child_program() {
    if std::env::args().all(|argument| argument != ROLE) {
        return;
    }
    let stop = child::asked_to_stop();
    println!("ready");
    stop.cancelled().await;
    println!("stopped in order");
}

/// This test program, running only the child's side, and what it prints.
fn start() -> (Child, mpsc::UnboundedReceiver<String>) {
    let (sender, lines) = mpsc::unbounded_channel();
    // A name that no test has is passed over by the test runner, and seen by the child.
    let arguments = ["child_program", ROLE, "--exact", "--nocapture"];
    (Child::start(arguments, sender).unwrap(), lines)
}

async fn line(lines: &mut mpsc::UnboundedReceiver<String>, wanted: &str) -> bool {
    let found = async {
        while let Some(line) = lines.recv().await {
            if line.contains(wanted) {
                return true;
            }
        }
        false
    };
    timeout(PATIENCE, found)
        .await
        .unwrap_or_else(|_| panic!("the child neither printed {wanted:?} nor ended"))
}

#[tokio::test]
async fn a_child_that_is_asked_stops_in_order() {
    let (child, mut lines) = start();
    assert!(line(&mut lines, "ready").await, "the child did not start");
    let status = timeout(PATIENCE, child.stop()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
    assert!(line(&mut lines, "stopped in order").await);
}

#[tokio::test]
async fn a_child_that_is_killed_says_nothing() {
    let (child, mut lines) = start();
    assert!(line(&mut lines, "ready").await, "the child did not start");
    timeout(PATIENCE, child.kill()).await.unwrap().unwrap();
    assert!(!line(&mut lines, "stopped in order").await);
}
