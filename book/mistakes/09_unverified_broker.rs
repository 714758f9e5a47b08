//! The mistake: the broker's certificate is not verified, because then it works.

use std::time::Duration;

use anyhow::Context;
use embedded_broker::{Broker, write_certificates};
use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

// ANCHOR: mistake
fn careless(servers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("security.protocol", "ssl")
        .set("enable.ssl.certificate.verification", "false");
    config
}
// ANCHOR_END: mistake

async fn pay(config: &ClientConfig) -> anyhow::Result<()> {
    let producer: FutureProducer = config.create()?;
    let record = FutureRecord::<str, str>::to("payments").payload("card 4111 1111");
    let report = producer.send(record, Duration::from_secs(10)).await;
    report.map_err(|(error, _record)| error)?;
    Ok(())
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (ours, theirs) = (folder.path().join("ours"), folder.path().join("theirs"));
    write_certificates(&ours)?;
    write_certificates(&theirs)?;
    // Somebody has led the broker's name to a machine of their own. It has a certificate, but not of our authority.
    let impostor = Broker::builder()
        .partitions(1)
        .tls_listen("127.0.0.1:0")
        .tls_dir(&theirs)
        .start()
        .await?;
    let servers = impostor.tls_bootstrap_servers();
    let servers = servers.context("it has a listener with TLS")?;

    let mut careful = careless(&servers);
    careful
        .set("enable.ssl.certificate.verification", "true")
        .set("ssl.ca.location", ours.join("ca.pem").to_string_lossy())
        .set("message.timeout.ms", "1000");
    for (name, config) in [("careful", careful), ("careless", careless(&servers))] {
        let outcome = match pay(&config).await {
            Ok(()) => "delivered".to_owned(),
            Err(error) => error.to_string(),
        };
        let records = impostor.records("payments", 0).unwrap_or_default();
        println!(
            "{name}: {outcome}; the impostor has {} records",
            records.len()
        );
    }
    Ok(())
}
