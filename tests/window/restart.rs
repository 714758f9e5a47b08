//! A processor that ends in the middle: in order, by force, or by losing partitions to another one.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use kafka_event_streaming::child::{self, Child};
use kafka_event_streaming::config::{Cluster, ConsumerSettings, GroupProtocol};
use kafka_event_streaming::transaction::TransactionSettings;
use kafka_event_streaming::window::{Aggregation, WindowedProcessor};
use tokio::sync::mpsc;

use crate::common::Kafka;
use crate::shop::{Expected, PATIENCE, Sale, Shop, Takings, TakingsByProduct, sale};

const START_MS: i64 = 1_000_000_000;

/// X13: stopped in the middle of windows and started again, three times, the totals are as if nothing had happened: each
/// run begins with those that are open.
#[tokio::test(flavor = "multi_thread")]
async fn totals_survive_restarts() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let mut random = fastrand::Rng::with_seed(5);
    let mut late = 0;
    for run in 0..4 {
        let open = expected.open();
        let processor = shop
            .start(&shop.transactions("takings"), &shop.windows())
            .await;
        // 45 s of sales, which is no multiple of a window.
        shop.sell(&mut expected, &mut random, START_MS + run * 45_000, 450)
            .await;
        shop.expect_results(&expected).await;
        assert_eq!(processor.aggregation.restored.load(Ordering::SeqCst), open);
        late += processor.stop().await.late;
    }
    assert!(
        expected.late > 5 && expected.open() > 5,
        "the test shows too little"
    );
    assert_eq!(late, expected.late);
}

/// X13: a window that was closed before a restart is closed after it, for a record that would have been late without it.
#[tokio::test(flavor = "multi_thread")]
async fn windows_stay_closed_over_a_restart() {
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let mut late = 0;
    for times in [[5_000, 60_000], [5_000, 120_000]] {
        let processor = shop
            .start(&shop.transactions("takings"), &shop.windows())
            .await;
        let sales = times.map(|time| sale("tea", 1, time));
        shop.write(&mut expected, &sales).await;
        shop.expect_results(&expected).await;
        late += processor.stop().await.late;
    }
    assert_eq!((late, expected.late), (1, 1));
}

/// X13: a second processor takes some of the partitions over, with their open windows, and gives them back when it ends.
#[tokio::test(flavor = "multi_thread")]
async fn totals_move_with_their_partitions() {
    let kafka = Kafka::start().await;
    for protocol in [GroupProtocol::classic(), GroupProtocol::new_protocol()] {
        let shop = Shop::open(kafka.cluster()).await;
        let mut expected = Expected::default();
        let mut random = fastrand::Rng::with_seed(6);
        let settings = |instance: &str| TransactionSettings {
            consumer: ConsumerSettings {
                protocol: protocol.clone(),
                ..ConsumerSettings::reliable(&shop.group)
            },
            ..shop.transactions(instance)
        };
        let first = shop.start(&settings("first"), &shop.windows()).await;
        shop.sell(&mut expected, &mut random, START_MS, 450).await;
        shop.expect_results(&expected).await;

        let second = shop.start(&settings("second"), &shop.windows()).await;
        let mut now = START_MS + 45_000;
        let deadline = Instant::now() + PATIENCE;
        while second.aggregation.added.load(Ordering::SeqCst) == 0 {
            shop.sell(&mut expected, &mut random, now, 50).await;
            now += 5_000;
            assert!(Instant::now() < deadline, "the second one never had a sale");
        }
        shop.sell(&mut expected, &mut random, now, 450).await;
        shop.expect_results(&expected).await;
        let second = second.stop().await;
        assert!(second.transactions.records > 0, "{protocol:?}");

        shop.sell(&mut expected, &mut random, now + 45_000, 450)
            .await;
        shop.expect_results(&expected).await;
        let first = first.stop().await;
        let records = first.transactions.records + second.transactions.records;
        assert_eq!(records, expected.sales(), "{protocol:?}");
        assert_eq!(first.late + second.late, expected.late, "{protocol:?}");
    }
}

/// What the first argument of a child begins with. No test has such a name, so the test runner passes over it.
const ROLE: &str = "worker";

fn start_worker(shop: &Shop) -> (Child, mpsc::UnboundedReceiver<String>) {
    let role = [
        ROLE,
        shop.cluster.servers().as_str(),
        &shop.input,
        &shop.output,
        &shop.changelog,
        &shop.rejects,
        &shop.group,
    ];
    let arguments = [
        "restart::worker_program",
        &role.join("|"),
        "--exact",
        "--nocapture",
    ];
    let (sender, lines) = mpsc::unbounded_channel();
    (Child::start(arguments, sender).unwrap(), lines)
}

/// The worker's side. Run by nobody else it does nothing.
#[tokio::test(flavor = "multi_thread")]
async fn worker_program() {
    let mut arguments = std::env::args();
    let Some(role) = arguments.find(|argument| argument.starts_with(ROLE)) else {
        return;
    };
    let role: Vec<&str> = role.split('|').collect();
    let [_, servers, input, output, changelog, rejects, group] = role[..] else {
        panic!("{role:?}");
    };
    let shop = Shop {
        cluster: Cluster::new(servers.parse().unwrap()),
        input: input.to_owned(),
        output: output.to_owned(),
        changelog: changelog.to_owned(),
        rejects: rejects.to_owned(),
        group: group.to_owned(),
    };
    let transactions = TransactionSettings {
        consumer: ConsumerSettings {
            // The same member after each restart, so that its partitions wait for it.
            instance_id: Some("worker-0".to_owned()),
            ..ConsumerSettings::reliable(group)
        },
        ..shop.transactions("worker-0")
    };
    let (cluster, windows) = (&shop.cluster, shop.windows());
    let worker =
        WindowedProcessor::new(cluster, &transactions, input, &windows, Telling::default());
    let stop = child::asked_to_stop();
    worker.await.unwrap().run(&stop).await.unwrap();
}

/// Tells of each sale, so that the test knows how far it is.
#[derive(Default)]
struct Telling(TakingsByProduct);

impl Aggregation for Telling {
    type Event = Sale;
    type Total = Takings;

    fn time(&self, sale: &Sale) -> Timestamp {
        self.0.time(sale)
    }

    fn fold(&self, takings: &mut Takings, sale: &Sale) {
        println!("sale of {}", sale.product);
        self.0.fold(takings, sale);
    }
}

/// X13, S3-14: killed at random points and restarted, ten times, the totals are as if nothing had happened.
#[tokio::test(flavor = "multi_thread")]
async fn totals_survive_being_killed() {
    const SALES: i64 = 2_000;
    const KILLS: usize = 10;
    let kafka = Kafka::start().await;
    let shop = Shop::open(kafka.cluster()).await;
    let mut expected = Expected::default();
    let seed = fastrand::u64(..);
    eprintln!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    shop.sell(&mut expected, &mut random, START_MS, SALES).await;
    for kill in 0..KILLS {
        let (worker, mut lines) = start_worker(&shop);
        // Anywhere in a transaction, or between two of them.
        let sales = random.usize(1..SALES as usize / KILLS);
        let mut seen = 0;
        while seen < sales {
            let line = tokio::time::timeout(PATIENCE, lines.recv()).await;
            let line = line.unwrap_or_else(|_| panic!("worker {kill} stood still at {seen}"));
            let line = line.unwrap_or_else(|| panic!("worker {kill} ended at {seen}"));
            seen += usize::from(line.contains("sale of"));
        }
        tokio::time::sleep(Duration::from_micros(random.u64(..3_000))).await;
        worker.kill().await.unwrap();
    }
    let (worker, _lines) = start_worker(&shop);
    shop.expect_results(&expected).await;
    assert!(worker.stop().await.unwrap().success());
}
