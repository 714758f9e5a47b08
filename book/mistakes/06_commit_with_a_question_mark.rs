//! The mistake: a commit that fails is taken for work that failed.

use embedded_broker::{ApiKey, Broker, ErrorCode};
use rdkafka::Message;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};

const PAYMENTS: [(&str, &str); 4] = [("payment.due", "4.50"); 4];

// ANCHOR: mistake
/// Charges payments. When a commit fails it ends, and whoever watches over services starts it again.
async fn charge(consumer: &StreamConsumer, charged: &mut Vec<i64>) -> anyhow::Result<()> {
    loop {
        let payment = consumer.recv().await?;
        charged.push(payment.offset());
        consumer.commit_message(&payment, CommitMode::Sync)?;
        if payment.offset() + 1 == PAYMENTS.len() as i64 {
            return Ok(());
        }
    }
}
// ANCHOR_END: mistake

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let broker = Broker::builder().partitions(1).start().await?;
    book_mistakes::write(&broker, "payments", &PAYMENTS).await?;
    // The broker that keeps the group's offsets is busy for longer than the two retries that librdkafka makes by itself.
    broker
        .faults()
        .on(ApiKey::OffsetCommit)
        .times(3)
        .error(ErrorCode::RequestTimedOut);
    let mut charged = Vec::new();
    for start in 1..=5 {
        let consumer = book_mistakes::consumer(&broker, "billing", "payments")?;
        match charge(&consumer, &mut charged).await {
            Ok(()) => break,
            Err(error) => println!("start {start} ended: {error}"),
        }
    }
    println!("charged in this order: {charged:?}");
    Ok(())
}
