//! The README's program of thirty lines does what it says.

use workspace_tests::read;

use crate::common::Kafka;
use crate::program::Example;

static EXAMPLE: Example = Example::new("quick_start");

/// S4-14, S4-17, S4-23: one typed event goes out and comes back.
#[tokio::test]
async fn the_quick_start_reads_back_what_it_sent() {
    let kafka = Kafka::start().await;
    let output = EXAMPLE.run(kafka.cluster().servers().as_str(), &[]);
    assert!(output.success, "{output:#?}");
    let lines: Vec<&str> = output.stdout.lines().collect();
    assert_eq!(lines.len(), 2, "{output:#?}");
    assert!(lines[0].contains("topic: \"sales\""), "{output:#?}");
    assert_eq!(lines[1], "Sale { product: \"tea\" }");
}

/// What a reader copies from the README is what is compiled and run here.
#[test]
fn the_readme_shows_the_program_that_is_run() {
    let program = read("examples/quick_start.rs");
    let block = format!("```rust\n{program}```\n");
    assert!(
        read("README.md").contains(&block),
        "the README's program is not examples/quick_start.rs"
    );
}
