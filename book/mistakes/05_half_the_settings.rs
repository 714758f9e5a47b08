//! The mistake: some of the settings that belong together, for the trouble that came last.

use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode, Fault, FaultBuilder};
use rdkafka::ClientConfig;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};

const RECORDS: u32 = 5;

// ANCHOR: mistake
/// Each row was somebody's answer to a fault that had hurt.
const WAYS: [(&str, &[(&str, &str)]); 5] = [
    ("nothing set", &[("enable.idempotence", "false")]),
    ("no answers, none lost", &[("acks", "0")]),
    (
        "no retries, no copies",
        &[("acks", "all"), ("retries", "0")],
    ),
    ("one request at a time", &[("max.in.flight", "1")]),
    ("idempotent", &[("enable.idempotence", "true")]),
];
// ANCHOR_END: mistake

/// A producer that sends each record by itself, with these settings.
fn producer(servers: &str, settings: &[(&str, &str)]) -> KafkaResult<FutureProducer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("linger.ms", "0")
        .set("batch.num.messages", "1");
    for (name, value) in settings {
        config.set(*name, *value);
    }
    config.create()
}

/// Sends records, each a request of its own, while the first request meets a fault. Returns how many of the reports were
/// good, and what is in the log.
async fn send(
    settings: &[(&str, &str)],
    fault: fn(FaultBuilder) -> Fault,
) -> anyhow::Result<(usize, String)> {
    let broker = Broker::builder().partitions(1).start().await?;
    let producer = producer(&broker.bootstrap_servers(), settings)?;
    let first = FutureRecord::<str, str>::to("payments").payload("connected");
    let sent = producer.send(first, Duration::from_secs(10)).await;
    sent.map_err(|(error, _)| error)?;
    // With acks=0 the report is there before the record is.
    while broker.records("payments", 0).map_or(0, |found| found.len()) < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let produce = || broker.faults().on(ApiKey::Produce);
    // So slow that all requests are on their way before the first one is answered.
    produce().delay(Duration::from_millis(20));
    let struck = fault(produce().once());
    let mut reports: Vec<DeliveryFuture> = Vec::new();
    for number in 1..=RECORDS {
        let payload = number.to_string();
        let record = FutureRecord::<str, str>::to("payments").payload(&payload);
        reports.push(producer.send_result(record).map_err(|(error, _)| error)?);
    }
    let mut good = 0;
    for report in reports {
        good += usize::from(report.await?.is_ok());
    }
    // With acks=0 the reports are there before the broker has done anything.
    while struck.hits() < 1 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    // What is lost cannot be waited for.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let records = broker.records("payments", 0)?;
    let log: Vec<&str> = records
        .iter()
        .skip(1)
        .filter_map(|record| record.value_str())
        .collect();
    let log = if log.is_empty() {
        "nothing".to_owned()
    } else {
        log.join(" ")
    };
    Ok((good, log))
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    type Strike = fn(FaultBuilder) -> Fault;
    let faults: [(&str, Strike); 2] = [
        ("the first answer is lost", FaultBuilder::apply_then_drop),
        ("the first request is refused", |fault| {
            fault.error(ErrorCode::NotEnoughReplicas)
        }),
    ];
    for (what, fault) in faults {
        println!("{what:<30} good reports   in the log");
        for (name, settings) in WAYS {
            let (good, log) = send(settings, fault).await?;
            println!("  {name:<28} {good:>12}   {log}");
        }
    }
    if let Err(error) = producer("", &[("enable.idempotence", "true"), ("acks", "1")]) {
        println!("idempotent, and acks=1: {error}");
    }
    Ok(())
}
