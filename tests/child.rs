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

/// Set for a child that ends as soon as it is ready.
const HASTY: &str = "HASTY_CHILD_OF_TESTS";

/// The child's side. Run by nobody else it does nothing.
#[tokio::test]
async fn child_program() {
    if std::env::args().all(|argument| argument != ROLE) {
        return;
    }
    let stop = child::asked_to_stop();
    println!("ready");
    if std::env::args().any(|argument| argument == HASTY) {
        return;
    }
    stop.cancelled().await;
    println!("stopped in order");
}

/// A name that no test has is passed over by the test runner, and seen by the child.
const ARGUMENTS: [&str; 4] = ["child_program", ROLE, "--exact", "--nocapture"];

/// This test program, running only the child's side, and what it prints.
fn start() -> (Child, mpsc::UnboundedReceiver<String>) {
    let (sender, lines) = mpsc::unbounded_channel();
    (Child::start(ARGUMENTS, sender).unwrap(), lines)
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

#[tokio::test]
async fn a_child_is_killed_after_so_many_lines() {
    // The test runner prints a line or two before the child does.
    let killed = child::run_and_kill(ARGUMENTS, 1, Duration::ZERO, PATIENCE);
    let lines = killed.await.unwrap();
    assert!(!lines.is_empty());
    let stopped = |line: &String| line.contains("stopped in order");
    assert!(!lines.iter().any(stopped), "{lines:?}");
}

#[tokio::test]
async fn a_child_that_cannot_be_killed_in_time_is_an_error() {
    let hasty = ARGUMENTS.into_iter().chain([HASTY]);
    let killed = child::run_and_kill(hasty, usize::MAX, Duration::ZERO, PATIENCE);
    let error = killed.await.unwrap_err().to_string();
    assert!(error.contains("ended by itself after"), "{error}");

    let patience = Duration::from_millis(500);
    let killed = child::run_and_kill(ARGUMENTS, usize::MAX, Duration::ZERO, patience);
    let error = killed.await.unwrap_err().to_string();
    assert!(error.contains("fell silent after"), "{error}");
}

#[tokio::test]
async fn a_child_that_ends_by_itself_does_not_wait_for_its_parent() {
    let (sender, mut lines) = mpsc::unbounded_channel();
    let arguments = ARGUMENTS.into_iter().chain([HASTY]);
    let mut child = Child::start(arguments, sender).unwrap();
    assert!(line(&mut lines, "ready").await, "the child did not start");
    let ended = timeout(PATIENCE, child.wait()).await;
    assert!(
        ended
            .expect("the child is over and does not end")
            .unwrap()
            .success()
    );
}

/// A child goes on when nobody listens to it.
#[tokio::test]
async fn a_child_may_print_what_nobody_reads() {
    let (sender, lines) = mpsc::unbounded_channel();
    drop(lines);
    let child = Child::start(ARGUMENTS, sender).unwrap();
    let status = timeout(PATIENCE, child.stop()).await.unwrap().unwrap();
    assert!(status.success(), "{status}");
}

#[tokio::test]
async fn a_child_that_runs_to_its_end_gives_all_its_lines() {
    let hasty = ARGUMENTS.into_iter().chain([HASTY]);
    let lines = child::run_to_the_end(hasty, PATIENCE).await.unwrap();
    let ready = |line: &String| line.contains("ready");
    assert!(lines.iter().any(ready), "{lines:?}");

    let unknown = child::run_to_the_end(["--no-such-argument"], PATIENCE).await;
    let error = unknown.unwrap_err().to_string();
    assert!(error.starts_with("the child failed: "), "{error}");

    let silent = child::run_to_the_end(ARGUMENTS, Duration::from_millis(500));
    let error = silent.await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
}
