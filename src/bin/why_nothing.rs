//! `make why TOPIC=orders GROUP=shop`: why is nothing consumed? Four checks, each with what follows from it.

use anyhow::Result;
use clap::Parser;
use clap::builder::NonEmptyStringValueParser;
use kafka_event_streaming::config::Cluster;
use kafka_event_streaming::{diagnosis, reachability};

#[tokio::main]
async fn main() -> Result<()> {
    kafka_event_streaming::logging::init();
    let arguments = Arguments::parse();
    let cluster = Cluster::from_environment()?;
    reachability::check(&cluster, reachability::PATIENCE).await?;

    println!(
        "topic {}, group {}, on {}\n",
        arguments.topic,
        arguments.group,
        cluster.servers()
    );
    let findings = diagnosis::why_nothing(&cluster, &arguments.topic, &arguments.group).await?;
    for finding in &findings {
        println!("{finding}");
    }
    if findings.iter().any(|finding| finding.is_cause) {
        println!("\nEach line with !! explains by itself that nothing is consumed.");
    } else {
        println!(
            "\nNothing is wrong here: there are records, and a member for them. Look into its log."
        );
    }
    Ok(())
}

/// Say why a consumer group reads nothing from a topic.
#[derive(Parser)]
struct Arguments {
    /// The topic that should be read
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    topic: String,

    /// The group id of the consumer that reads nothing
    #[arg(long, value_parser = NonEmptyStringValueParser::new())]
    group: String,
}
