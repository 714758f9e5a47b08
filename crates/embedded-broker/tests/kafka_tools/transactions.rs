//! `kafka-transactions`.

use std::time::Duration;

use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use crate::Tools;
use crate::support::broker::unique;
use crate::support::clients::config;
use crate::support::topic::Topic;

const TRANSACTIONS: &str = "org.apache.kafka.tools.TransactionsCommand";
const TIMEOUT: Duration = Duration::from_secs(15);

/// List and describe, with one transaction done and one open.
#[tokio::test]
async fn transactions_are_listed_and_described() {
    let Some(tools) = Tools::find().await else {
        return;
    };
    let topic = Topic::create(1).await;
    let id = unique("transaction");
    let producer: BaseProducer = config(&[("transactional.id", &id)])
        .await
        .create()
        .expect("a producer");
    producer.init_transactions(TIMEOUT).expect("initialise");
    let send = || {
        producer.begin_transaction().expect("begin");
        producer
            .send(
                BaseRecord::<str, str>::to(&topic.name)
                    .partition(0)
                    .payload("value"),
            )
            .expect("enqueue");
        producer.flush(TIMEOUT).expect("flush");
    };
    send();
    producer.commit_transaction(TIMEOUT).expect("commit");
    let listed = tools.run(TRANSACTIONS, &["list"]).await;
    assert_eq!(
        listed.row(&[&id]).last(),
        Some(&"CompleteCommit"),
        "{listed}"
    );

    send();
    let described = tools
        .run(TRANSACTIONS, &["describe", "--transactional-id", &id])
        .await;
    let titles = described.rows()[0].clone();
    let row = described.rows()[1].clone();
    let column = |title: &str| {
        row[titles
            .iter()
            .position(|one| *one == title)
            .expect("a column")]
    };
    assert_eq!(column("TransactionalId"), id, "{described}");
    assert_eq!(column("TransactionState"), "Ongoing", "{described}");
    assert_eq!(column("TransactionTimeoutMs"), "60000", "{described}");
    assert_eq!(
        column("TopicPartitions"),
        format!("{}-0", topic.name),
        "{described}"
    );

    let producers = tools
        .run(
            TRANSACTIONS,
            &[
                "describe-producers",
                "--topic",
                &topic.name,
                "--partition",
                "0",
            ],
        )
        .await;
    let titles = producers.rows()[0].clone();
    let row = producers.rows()[1].clone();
    let start = titles
        .iter()
        .position(|one| *one == "CurrentTransactionStartOffset")
        .expect("a column");
    // The first record and its marker lie before.
    assert_eq!(row[start], "2", "{producers}");
    producer.abort_transaction(TIMEOUT).expect("abort");
    let listed = tools.run(TRANSACTIONS, &["list"]).await;
    assert_eq!(
        listed.row(&[&id]).last(),
        Some(&"CompleteAbort"),
        "{listed}"
    );
}
