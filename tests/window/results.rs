//! What comes out: results, rejects, the changelog, and errors.

use std::cell::{Cell as Slot, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use embedded_broker::{ApiKey, Broker, ErrorCode};
use kafka_event_streaming::Error;
use kafka_event_streaming::config::{Cluster, ProducerSettings};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topics::{self, Tier, TopicDesign};
use kafka_event_streaming::window::{
    ChangelogError, Emit, REJECTED_HEADER, TumblingWindows, WindowResult, WindowSettings,
    WindowedProcessor,
};

use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use tokio::task::spawn_blocking;

use crate::common::Kafka;
use crate::shop::{
    Cell, Expected, PARTITIONS, PATIENCE, Sale, Shop, Takings, TakingsByProduct, sale,
};

/// X13: totals by key and window are those that one gets by adding up by hand, each told once.
#[tokio::test(flavor = "multi_thread")]
async fn sales_are_added_up_by_product_and_window() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let mut random = fastrand::Rng::with_seed(1);
    shop.sell(&mut expected, &mut random, 1_000_000_000, 1_500)
        .await;
    assert!(expected.late > 5, "the test shows too little");
    let processor = shop
        .start(&shop.transactions("takings"), &shop.windows())
        .await;
    shop.expect_results(&expected).await;
    let summary = processor.stop().await;
    assert_eq!(summary.transactions.records, expected.sales());
    assert_eq!((summary.late, summary.undecodable), (expected.late, 0));
}

/// X13: with updates every change of a total is told, and the last one is right, also of windows that are open.
#[tokio::test(flavor = "multi_thread")]
async fn updates_tell_of_windows_that_are_still_open() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let mut random = fastrand::Rng::with_seed(2);
    shop.sell(&mut expected, &mut random, 1_000_000_000, 400)
        .await;
    let settings = WindowSettings {
        emit: Emit::OnUpdate,
        ..shop.windows()
    };
    let processor = shop.start(&shop.transactions("takings"), &settings).await;
    let wanted = expected.all();
    let latest: RefCell<BTreeMap<Cell, Takings>> = RefCell::default();
    shop.read::<WindowResult<Takings>>(
        &shop.output,
        |result, _| {
            let result = result.unwrap();
            let cell = (result.key, result.start.as_millisecond());
            let before = latest.borrow_mut().insert(cell, result.total);
            let sales_before = before.map_or(0, |before| before.sales);
            assert!(
                result.total.sales > sales_before,
                "an update changed nothing"
            );
        },
        || match *latest.borrow() == wanted {
            true => Ok(()),
            false => Err(format!("{:?} instead of {wanted:?}", latest.borrow())),
        },
    )
    .await;
    processor.stop().await;
}

/// X13: a late record within the grace counts; one past it is set aside as it was, and counted. So is one that cannot
/// be decoded.
#[tokio::test(flavor = "multi_thread")]
async fn what_comes_too_late_or_is_unreadable_is_set_aside() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let sales = [
        sale("tea", 1, 5_000),
        sale("tea", 2, 12_999),
        // The window from 0 to 10,000 closes at 13,000.
        sale("tea", 4, 9_999),
        sale("tea", 8, 13_000),
        sale("tea", 16, 9_999),
        sale("tea", 32, 40_000),
    ];
    shop.write(&mut expected, &sales).await;
    let producer = RecordProducer::new(&shop.cluster, &ProducerSettings::reliable()).unwrap();
    producer
        .send(&shop.input, b"tea", b"not a sale")
        .await
        .unwrap();
    let processor = shop
        .start(&shop.transactions("takings"), &shop.windows())
        .await;
    shop.expect_results(&expected).await;
    let first = expected.closed()[&("tea".to_owned(), 0)];
    assert_eq!((first.cents, first.sales), (1 + 4, 2));

    let rejects = RefCell::new(Vec::new());
    shop.read::<Sale>(
        &shop.rejects,
        |sale, record| {
            let reason = record.header(REJECTED_HEADER).unwrap().to_vec();
            let reason = String::from_utf8(reason).unwrap();
            assert_eq!(record.key(), Some(&b"tea"[..]));
            rejects
                .borrow_mut()
                .push((sale.map(|sale| sale.cents).ok(), reason));
        },
        || match rejects.borrow().len() {
            2 => Ok(()),
            found => Err(format!("{found} of 2 rejects")),
        },
    )
    .await;
    let rejects = rejects.into_inner();
    assert_eq!(rejects[0], (Some(16), "its window was closed".to_owned()));
    assert_eq!(rejects[1].0, None);
    assert!(rejects[1].1.contains("not a sale"), "{rejects:?}");
    let summary = processor.stop().await;
    assert_eq!((summary.late, summary.undecodable), (1, 1));
}

/// X1, X13: without a place to set it aside, a record that cannot be decoded is not passed.
#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_record_stops_a_processor_without_rejects() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let producer = RecordProducer::new(&shop.cluster, &ProducerSettings::reliable()).unwrap();
    let unreadable = producer
        .send(&shop.input, b"tea", b"not a sale")
        .await
        .unwrap();
    let settings = WindowSettings {
        rejects: None,
        ..shop.windows()
    };
    let processor = shop.start(&shop.transactions("takings"), &settings).await;
    let error = processor.outcome().await.unwrap_err();
    let Error::Transform {
        partition, offset, ..
    } = &error
    else {
        panic!("{error:?}");
    };
    assert_eq!(
        (partition.partition, *offset),
        (unreadable.partition, unreadable.offset)
    );
}

/// X13: the changelog forgets what is closed: the last record of each key leaves the open windows, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_changelog_holds_the_open_windows_alone() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let mut random = fastrand::Rng::with_seed(3);
    shop.sell(&mut expected, &mut random, 1_000_000_000, 1_000)
        .await;
    let processor = shop
        .start(&shop.transactions("takings"), &shop.windows())
        .await;
    shop.expect_results(&expected).await;
    processor.stop().await;

    // As compaction would leave it.
    let compacted: RefCell<BTreeMap<(i32, String), String>> = RefCell::default();
    let records = Slot::new(0);
    shop.read::<Sale>(
        &shop.changelog,
        |_, record| {
            records.set(records.get() + 1);
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            let cell = (record.partition(), key);
            match record.payload() {
                Some(payload) => {
                    let payload = String::from_utf8(payload.to_vec()).unwrap();
                    compacted.borrow_mut().insert(cell, payload);
                }
                None => drop(compacted.borrow_mut().remove(&cell)),
            }
        },
        || match records.get() {
            0 => Err("no record".to_owned()),
            _ => Ok(()),
        },
    )
    .await;
    let mut compacted = compacted.into_inner();
    compacted.retain(|(_, key), _| key != "progress");
    let closed = expected.closed();
    let open: BTreeMap<Cell, Takings> = expected
        .all()
        .into_iter()
        .filter(|(cell, _)| !closed.contains_key(cell))
        .collect();
    let stored: BTreeMap<Cell, Takings> = compacted
        .into_iter()
        .map(|((_, key), payload)| {
            let (start, product) = key.split_once('/').unwrap();
            let cell = (product.to_owned(), start.parse().unwrap());
            (cell, serde_json::from_str(&payload).unwrap())
        })
        .collect();
    assert!(closed.len() > 5 * open.len(), "the test shows too little");
    assert_eq!(stored, open);
}

/// X13: a state of other windows, or in fewer partitions, is refused before anything is processed.
#[tokio::test(flavor = "multi_thread")]
async fn a_changelog_that_does_not_fit_is_refused() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    shop.write(&mut expected, &[sale("tea", 1, 0), sale("tea", 1, 60_000)])
        .await;
    let processor = shop
        .start(&shop.transactions("takings"), &shop.windows())
        .await;
    shop.expect_results(&expected).await;
    processor.stop().await;

    let other = WindowSettings {
        windows: TumblingWindows::of(Duration::from_secs(60)),
        ..shop.windows()
    };
    let processor = shop.start(&shop.transactions("takings"), &other).await;
    let error = processor.outcome().await.unwrap_err();
    let Error::Changelog { partition, source } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(*partition.topic, *shop.changelog);
    assert!(
        matches!(
            source,
            ChangelogError::OtherSize {
                stored_ms: 10_000,
                configured_ms: 60_000
            }
        ),
        "{error:?}"
    );

    let changelog = topics::unique_name("changelog");
    topics::ensure_topic(&shop.cluster, &changelog, 1)
        .await
        .unwrap();
    let narrow = WindowSettings {
        changelog,
        ..shop.windows()
    };
    let transactions = shop.transactions("takings");
    let processor = WindowedProcessor::new(
        &shop.cluster,
        &transactions,
        &shop.input,
        &narrow,
        TakingsByProduct::default(),
    );
    let error = processor.await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Changelog {
                source: ChangelogError::TooFewPartitions {
                    found: 1,
                    needed: 3
                },
                ..
            }
        ),
        "{error:?}"
    );
}

/// X13: totals stay right when transactions are aborted again and again. The broker is an embedded one.
#[tokio::test(flavor = "multi_thread")]
async fn aborted_transactions_leave_no_trace_in_the_totals() {
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .start()
        .await
        .unwrap();
    let cluster = Cluster::new(broker.bootstrap_servers().parse().unwrap());
    let shop = Shop::open(&cluster).await;
    let mut expected = Expected::default();
    let mut random = fastrand::Rng::with_seed(4);
    shop.sell(&mut expected, &mut random, 1_000_000_000, 1_500)
        .await;
    let faults = [
        (ApiKey::TxnOffsetCommit, ErrorCode::IllegalGeneration),
        (ApiKey::EndTxn, ErrorCode::CoordinatorNotAvailable),
    ]
    .map(|(api, error)| broker.faults().on(api).probability(0.3, 5).error(error));
    let processor = shop
        .start(&shop.transactions("takings"), &shop.windows())
        .await;
    shop.expect_results(&expected).await;
    for fault in faults {
        assert!(fault.hits() > 0);
    }
    broker.faults().clear();
    let summary = processor.stop().await;
    assert!(summary.transactions.aborted > 0, "{summary:?}");
    assert_eq!(summary.late, expected.late);
}

/// X13: what a former owner has written and is about to commit is waited for, not passed over.
#[tokio::test(flavor = "multi_thread")]
async fn an_undecided_changelog_is_waited_for() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    shop.write(&mut expected, &[sale("tea", 1, 60_000)]).await;
    let design = TopicDesign::new(&shop.changelog, Tier::Changelog).with_partitions(PARTITIONS);
    topics::ensure_topics(&shop.cluster, &[design])
        .await
        .unwrap();

    // Two sales, of which nobody else knows: their offsets count already, let us say.
    let former = shop
        .transactions("former-owner")
        .producer_config(&shop.cluster);
    let (changelog, partition) = (shop.changelog.clone(), expected.only_partition());
    let former = spawn_blocking(move || {
        let former: ThreadedProducer<_> = former.unwrap().create::<ThreadedProducer<_>>().unwrap();
        former.init_transactions(PATIENCE).unwrap();
        former.begin_transaction().unwrap();
        for (key, payload) in [
            ("0/tea", r#"{"cents":3,"sales":2}"#),
            ("progress", r#"{"latest_ms":9000,"size_ms":10000}"#),
        ] {
            let record = BaseRecord::to(&changelog).partition(partition);
            former.send(record.key(key).payload(payload)).unwrap();
        }
        former.flush(PATIENCE).unwrap();
        former
    });
    let former = former.await.unwrap();

    let processor = shop
        .start(&shop.transactions("takings"), &shop.windows())
        .await;
    shop.wait_until_assigned().await;
    // Who does not wait is through by then. It decides whether a wrong program is found out, not whether a right one
    // passes.
    tokio::time::sleep(Duration::from_millis(500)).await;
    spawn_blocking(move || former.commit_transaction(PATIENCE).unwrap())
        .await
        .unwrap();

    let results = RefCell::new(Vec::new());
    shop.read::<WindowResult<Takings>>(
        &shop.output,
        |result, _| {
            let result = result.unwrap();
            results
                .borrow_mut()
                .push((result.start.as_millisecond(), result.total));
        },
        || match results.borrow().len() {
            0 => Err("no result".to_owned()),
            _ => Ok(()),
        },
    )
    .await;
    assert_eq!(results.into_inner(), [(0, Takings { cents: 3, sales: 2 })]);
    processor.stop().await;
}
