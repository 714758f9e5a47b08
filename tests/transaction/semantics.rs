//! What a transaction promises, without any fault: on both brokers.

use std::time::Duration;

use kafka_event_streaming::Error;
use kafka_event_streaming::config::{ConsumerSettings, GroupProtocol, IsolationLevel};
use kafka_event_streaming::topics::unique_name;
use kafka_event_streaming::transaction::TransactionSettings;
use tokio::sync::oneshot;

use crate::common::Kafka;
use crate::pipeline::{PATIENCE, Pipeline, Running, copy};

/// S3-14: each record is transformed and written once, in order within its key.
#[tokio::test(flavor = "multi_thread")]
async fn every_record_counts_exactly_once() {
    let kafka = Kafka::start().await;
    let pipeline = Pipeline::create(kafka.cluster()).await;
    pipeline.fill(500).await;
    let processor = pipeline.start(&pipeline.settings(&unique_name("processor")));
    pipeline.expect_exactly_once().await;
    let summary = processor.stop().await;
    assert_eq!((summary.records, summary.aborted), (500, 0));
    assert!(summary.transactions >= 25, "{summary:?}");
}

/// S3-05: offsets are part of the transaction: who comes next begins behind the last committed record.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_process_goes_on_behind_the_last_commit() {
    let kafka = Kafka::start().await;
    let pipeline = Pipeline::create(kafka.cluster()).await;
    let settings = pipeline.settings(&unique_name("processor"));
    pipeline.fill(100).await;
    let first = pipeline.start(&settings);
    pipeline.visible(IsolationLevel::ReadCommitted, 100).await;
    assert_eq!(first.stop().await.records, 100);

    let second = pipeline.start(&settings);
    pipeline.send("late", "0").await;
    pipeline.visible(IsolationLevel::ReadCommitted, 101).await;
    assert_eq!(
        second.stop().await.records,
        1,
        "a record was read again after a restart"
    );
    pipeline.expect_exactly_once().await;
}

/// S3-14: what was aborted is in the log, and only readers of uncommitted records see it. A record that cannot be
/// processed stops the processor: it is not passed.
#[tokio::test(flavor = "multi_thread")]
async fn an_aborted_result_is_visible_only_to_readers_of_uncommitted_records() {
    let kafka = Kafka::start().await;
    let pipeline = Pipeline::create(kafka.cluster()).await;
    pipeline.fill(1).await;
    let settings = TransactionSettings {
        batch_time: PATIENCE,
        ..pipeline.settings(&unique_name("processor"))
    };

    // The first result is written, though its transaction is open; the second record fails.
    let (write_the_second, is_visible) = oneshot::channel::<()>();
    let mut is_visible = Some(is_visible);
    let output = pipeline.output.clone();
    let processor = pipeline.start_with(&settings, move |record, outputs| {
        if record.key() == Some(b"poison") {
            is_visible.take().unwrap().blocking_recv()?;
            return Err("it cannot be processed".into());
        }
        copy(record, outputs, &output);
        Ok(())
    });
    assert_eq!(
        pipeline.visible(IsolationLevel::ReadUncommitted, 1).await,
        1
    );
    assert_eq!(pipeline.visible(IsolationLevel::ReadCommitted, 0).await, 0);
    let poison = pipeline.send("poison", "0").await;
    write_the_second.send(()).unwrap();

    let error = processor.outcome().await.unwrap_err();
    let Error::Transform {
        partition, offset, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (partition.partition, *offset),
        (poison.partition, poison.offset)
    );
    assert_eq!(
        pipeline.visible(IsolationLevel::ReadUncommitted, 1).await,
        1
    );
    assert_eq!(pipeline.visible(IsolationLevel::ReadCommitted, 0).await, 0);

    // Once the transform is mended, both records come again. The first result stands there twice, and is seen once.
    let mended = pipeline.start(&pipeline.settings(&unique_name("mended")));
    pipeline.expect_exactly_once().await;
    assert_eq!(mended.stop().await.records, 2);
    assert_eq!(
        pipeline.visible(IsolationLevel::ReadUncommitted, 3).await,
        3
    );
}

/// A processor that falls asleep in the middle of its first transaction, with results on their way, until it is woken.
/// It is so long silent that its group throws it out.
fn start_sleeper(pipeline: &Pipeline, transactional_id: &str) -> (oneshot::Sender<()>, Running) {
    let settings = pipeline.settings(transactional_id);
    let settings = TransactionSettings {
        consumer: ConsumerSettings {
            // The shortest that is allowed beside the session timeout.
            max_poll_interval: Duration::from_secs(6),
            ..settings.consumer
        },
        transaction_timeout: PATIENCE,
        ..settings
    };
    let (wake, sleep) = oneshot::channel();
    let mut sleep = Some(sleep);
    let output = pipeline.output.clone();
    let mut records = 0;
    let running = pipeline.start_with(&settings, move |record, outputs| {
        copy(record, outputs, &output);
        records += 1;
        if records == 10 {
            sleep.take().unwrap().blocking_recv()?;
        }
        Ok(())
    });
    (wake, running)
}

/// S3-14: a process that was replaced while it hung is told so, and nothing of what it had at hand is seen.
#[tokio::test(flavor = "multi_thread")]
async fn a_zombie_is_fenced_and_commits_nothing() {
    let kafka = Kafka::start().await;
    let pipeline = Pipeline::create(kafka.cluster()).await;
    pipeline.fill(50).await;
    let transactional_id = unique_name("processor");
    let (wake, zombie) = start_sleeper(&pipeline, &transactional_id);
    pipeline.visible(IsolationLevel::ReadUncommitted, 1).await;

    let successor = pipeline.start(&pipeline.settings(&transactional_id));
    // The zombie's transaction was aborted when its successor began, so nobody waits for it.
    pipeline.visible(IsolationLevel::ReadCommitted, 50).await;
    wake.send(()).unwrap();
    let error = zombie.outcome().await.unwrap_err();
    assert!(matches!(error, Error::Fenced { .. }), "{error:?}");
    assert!(error.is_fatal());
    assert!(error.to_string().contains(&transactional_id), "{error}");
    pipeline.expect_exactly_once().await;
    assert_eq!(successor.stop().await.records, 50);
}

/// S3-14: instances with ids of their own do not fence each other. The broker refuses the offsets of one that is no
/// member any more (KIP-447); it aborts, and goes on with what the group gives it.
#[tokio::test(flavor = "multi_thread")]
async fn offsets_of_a_former_member_are_refused() {
    let kafka = Kafka::start().await;
    let pipeline = Pipeline::create(kafka.cluster()).await;
    pipeline.fill(50).await;
    let (wake, sleeper) = start_sleeper(&pipeline, &unique_name("sleeper"));
    pipeline.visible(IsolationLevel::ReadUncommitted, 1).await;

    let other = pipeline.start(&pipeline.settings(&unique_name("other")));
    // All of the other's results, beside some of the sleeper's.
    pipeline.visible(IsolationLevel::ReadUncommitted, 51).await;
    wake.send(()).unwrap();
    pipeline.expect_exactly_once().await;
    let (sleeper, other) = (sleeper.stop().await, other.stop().await);
    assert!(sleeper.aborted >= 1, "{sleeper:?}");
    assert_eq!(sleeper.records + other.records, 50);
}

/// S3-14: partitions that go to another member take their records with them, out of the open transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebalance_aborts_the_open_transaction() {
    let kafka = Kafka::start().await;
    for protocol in [GroupProtocol::classic(), GroupProtocol::new_protocol()] {
        let pipeline = Pipeline::create(kafka.cluster()).await;
        let settings = |name: &str| {
            let settings = pipeline.settings(&unique_name(name));
            TransactionSettings {
                consumer: ConsumerSettings {
                    protocol: protocol.clone(),
                    ..settings.consumer
                },
                ..settings
            }
        };
        pipeline.fill(200).await;
        // Never commits by itself.
        let slow = pipeline.start(&TransactionSettings {
            batch_records: usize::MAX,
            batch_time: PATIENCE,
            transaction_timeout: PATIENCE,
            ..settings("slow")
        });
        pipeline.visible(IsolationLevel::ReadUncommitted, 200).await;
        let quick = pipeline.start(&settings("quick"));
        // One result at least of a partition that has moved.
        pipeline.visible(IsolationLevel::ReadCommitted, 1).await;
        // On shutdown it commits what it holds.
        let slow = slow.stop().await;
        pipeline.expect_exactly_once().await;
        let quick = quick.stop().await;
        assert!(slow.aborted >= 1, "{protocol:?}: {slow:?}");
        assert!(quick.records > 0, "{protocol:?}: {quick:?}");
        assert_eq!(slow.records + quick.records, 200, "{protocol:?}");
    }
}
