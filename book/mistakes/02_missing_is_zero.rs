//! The mistake: two versions are read by one struct, and what is not there is made up.

use embedded_broker::Broker;
use rdkafka::Message;
use serde::Deserialize;

/// Version 1 told whole degrees. The record is years old, and the hall was warm.
const EVENTS: [(&str, &str); 1] = [("hall.measured", r#"{"hall":"hall-1","celsius":21}"#)];

// ANCHOR: mistake
/// Version 2 tells thousandths of a degree. In a record of version 1 they are missing.
#[derive(Deserialize)]
struct WithDefault {
    #[serde(default)]
    millidegrees: i64,
}

/// Takes the old name for the new one.
#[derive(Deserialize)]
struct WithAlias {
    #[serde(alias = "celsius")]
    millidegrees: i64,
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "halls", &EVENTS).await?;
    let consumer = book_mistakes::consumer(&broker, "heating", "halls")?;
    let record = consumer.recv().await?;
    let payload = record.payload().unwrap_or_default();
    let with_default: WithDefault = serde_json::from_slice(payload)?;
    let with_alias: WithAlias = serde_json::from_slice(payload)?;
    println!("written         {}", String::from_utf8_lossy(payload));
    for (way, millidegrees) in [
        ("with a default", with_default.millidegrees),
        ("with an alias", with_alias.millidegrees),
    ] {
        println!("{way:<15} {:>5.3} degrees", millidegrees as f64 / 1000.0);
    }
    Ok(())
}
