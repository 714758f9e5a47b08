//! Example 4: five services, and every order, piece and cent is accounted for, whatever happens to them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use embedded_broker::{ApiKey, Broker};
use kafka_event_streaming::config::{Cluster, IsolationLevel, ProducerSettings};
use kafka_event_streaming::producer::RecordProducer;
use kafka_event_streaming::topic_contents;
use kafka_event_streaming::topics::unique_name;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::Message;
use rdkafka::{Offset, TopicPartitionList};
use workspace_tests::{Output, root};

use crate::common::Kafka;
use crate::program::{Example, Running, assert_readable, last_line, number_behind};

static EXAMPLE: Example = Example::new("04_order_processing");

/// Each service, its topic of results, and the topics that it reads.
const SERVICES: [(&str, &str, &[&str]); 5] = [
    ("orders", "orders", &["stock", "payments", "shipments"]),
    ("inventory", "stock", &["orders"]),
    ("payments", "payments", &["orders"]),
    ("shipping", "shipments", &["orders"]),
    ("notifications", "notices", &["orders"]),
];

/// The messages that all services together do for six orders, four of which are shipped: the orders' own hears 12 answers,
/// 4 of shipping and 2 of what was taken back; each of the others hears 2 or 3 of each order.
const MESSAGES: u64 = 18 + 4 * 16;

/// A shop of this test's own. Its books are removed in the end.
struct Shop {
    name: String,
    servers: String,
}

impl Shop {
    fn new(servers: &str) -> Self {
        EXAMPLE.binary();
        Self {
            name: unique_name("shop"),
            servers: servers.to_owned(),
        }
    }

    fn arguments<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        [&["--shop", &self.name], more].concat()
    }

    fn run(&self, more: &[&str]) -> Output {
        EXAMPLE.run(&self.servers, &self.arguments(more))
    }

    fn start(&self, more: &[&str]) -> Running {
        EXAMPLE.start(&self.servers, &self.arguments(more))
    }

    /// What its books say. They have to fit together at any time.
    fn audit(&self) -> Output {
        let audit = self.run(&["--audit"]);
        assert!(audit.success, "{audit:#?}");
        assert!(last_line(&audit).ends_with(", wrong 0"), "{audit:#?}");
        audit
    }

    fn topic(&self, topic: &str) -> String {
        format!("{}.{topic}", self.name)
    }

    /// The records of a topic: key, and the field of the payload that says what happened.
    async fn records(&self, topic: &str) -> Vec<(String, String)> {
        let cluster = Cluster::new(self.servers.parse().unwrap());
        let mut records = Vec::new();
        let read = IsolationLevel::ReadCommitted;
        topic_contents::read(&cluster, &self.topic(topic), read, |record| {
            let key = String::from_utf8(record.key().unwrap().to_vec()).unwrap();
            let event: serde_json::Value =
                serde_json::from_slice(record.payload().unwrap()).unwrap();
            let what = event
                .get("outcome")
                .or_else(|| event.get("status"))
                .unwrap();
            records.push((key, what.as_str().unwrap().to_owned()));
        })
        .await
        .unwrap();
        records
    }

    /// How many records the group of a service has committed, and how many there are for it.
    fn committed_of(&self, service: &str, inputs: &[&str]) -> (i64, i64) {
        let group = self.topic(service);
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.servers)
            .set("group.id", &group)
            .create()
            .unwrap();
        let patience = Duration::from_secs(10);
        let mut partitions = TopicPartitionList::new();
        let mut there = 0;
        for input in inputs {
            let topic = self.topic(input);
            for partition in 0..3 {
                partitions.add_partition(&topic, partition);
                there += consumer
                    .fetch_watermarks(&topic, partition, patience)
                    .unwrap()
                    .1;
            }
        }
        let committed = consumer.committed_offsets(partitions, patience).unwrap();
        let offsets = committed
            .elements()
            .into_iter()
            .map(|element| match element.offset() {
                Offset::Offset(next) => next,
                _ => 0,
            });
        (offsets.sum(), there)
    }

    /// Both, for all services together.
    fn committed(&self) -> (i64, i64) {
        let of_services = SERVICES.map(|(service, _, inputs)| self.committed_of(service, inputs));
        of_services
            .into_iter()
            .fold((0, 0), |sum, of_one| (sum.0 + of_one.0, sum.1 + of_one.1))
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(root().join("target/example-04").join(&self.name));
    }
}

/// What happened to each order, by its live lines: `1.23 s  order-1   reserved`, in the order of the lines.
fn steps(output: &Output) -> BTreeMap<&str, Vec<&str>> {
    let mut steps: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for line in output.stdout.lines() {
        if let Some((_, rest)) = line.split_once(" s  order-")
            && let Some((number, what)) = rest.split_once(' ')
        {
            steps.entry(number).or_default().push(what.trim());
        }
    }
    steps
}

/// The line of an order in the table at the end, without its times.
fn time_line(output: &Output, order: &str) -> String {
    let line = output
        .stdout
        .lines()
        .find(|line| line.starts_with(&format!("{order} ")));
    let words = line.unwrap_or_else(|| panic!("no line of {order}: {output:#?}"));
    let words: Vec<&str> = words
        .split_whitespace()
        .skip(1)
        .filter(|word| *word != "s" && word.parse::<f64>().is_err())
        .collect();
    words.join(" ")
}

/// The number of messages, of their deliveries, and of what waits to be sent.
fn inboxes(output: &Output) -> [u64; 3] {
    let line = output
        .stdout
        .lines()
        .find(|line| line.contains(" messages were done, in "));
    let line = format!(" {}", line.unwrap_or_else(|| panic!("{output:#?}")));
    [" ", ", in ", "; "].map(|before| number_behind(&line, before))
}

/// S4-13, S3-14, S1-04: every order comes to its end, what was done in vain is taken back, and nobody is told of a step before the
/// one before it. Then everything is delivered once more and changes nothing. Two runs on one broker show the same.
#[tokio::test]
async fn example_4_accounts_for_every_order() {
    let kafka = Kafka::start().await;
    let servers = kafka.cluster().servers().as_str();
    for output in EXAMPLE.run_twice(servers, &[]) {
        check(&output);
    }
}

fn check(output: &Output) {
    assert!(output.success, "{output:#?}");
    assert_readable(output);
    let steps = steps(output);
    assert_eq!(steps.len(), 6, "{steps:?}");
    for (number, steps) in &steps {
        let [stock, payment, ends]: [&str; 3] = match *number {
            "3" => ["sold out", "charged", "refunded"],
            "4" => ["reserved", "declined", "released"],
            _ => ["reserved", "charged", "shipped"],
        };
        let is_sold = ends == "shipped";
        // What a customer is told, in this order.
        let mails: Vec<&str> = steps
            .iter()
            .filter_map(|step| step.strip_prefix("mail: "))
            .collect();
        let told: &[&str] = if is_sold {
            &["placed", "paid", "shipped"]
        } else {
            &["placed", "cancelled"]
        };
        assert_eq!(mails, told, "order-{number}: {steps:?}");
        // The steps themselves. Between inventory and payments there is no order, but both come before what follows of them.
        let mut found: Vec<&str> = steps
            .iter()
            .copied()
            .filter(|step| !step.starts_with("mail"))
            .collect();
        assert_eq!(found[0], "placed", "order-{number}: {steps:?}");
        let place = |what: &str| found.iter().position(|step| *step == what);
        let decided = place(if is_sold { "paid" } else { "cancelled" });
        assert!(
            decided.is_some() && decided < place(ends),
            "order-{number}: {steps:?}"
        );
        if is_sold {
            assert!(
                place(stock) < decided && place(payment) < decided,
                "order-{number}: {steps:?}"
            );
        }
        found.sort_unstable();
        let mut expected = vec!["placed", stock, payment, ends];
        // Shipped twice: by shipping, and by the orders' own service that hears of it.
        expected.extend(if is_sold {
            &["paid", "shipped"][..]
        } else {
            &["cancelled"]
        });
        expected.sort_unstable();
        assert_eq!(found, expected, "order-{number}");
    }
    for (order, line) in [
        ("order-1", "reserved charged paid shipped"),
        ("order-2", "reserved charged paid shipped"),
        ("order-3", "sold out charged cancelled refunded"),
        ("order-4", "reserved declined cancelled released"),
        ("order-6", "reserved charged paid shipped"),
    ] {
        assert_eq!(time_line(output, order), line);
    }
    let again = format!("{MESSAGES} records were delivered once more. New in the books: 0");
    assert!(
        output.stdout.lines().any(|line| line == again),
        "{output:#?}"
    );
    assert_eq!(inboxes(output), [MESSAGES, 2 * MESSAGES, 0], "{output:#?}");
    assert_eq!(
        last_line(output),
        "6 orders: shipped 4, cancelled 2, open 0, wrong 0"
    );
}

/// X2: each service dies once at the worst moment: its effect is in its books, and nobody was told. It is told by the next
/// life, once more than once at most, and done once.
#[tokio::test]
async fn example_4_tells_after_a_crash_what_it_could_not_tell_before() {
    let kafka = Kafka::start().await;
    for (service, output_topic, _) in SERVICES {
        let shop = Shop::new(kafka.cluster().servers().as_str());
        let crash = shop.run(&["--crash", service]);
        assert_eq!(crash.code, Some(137), "{crash:#?}");
        assert!(last_line(&crash).starts_with("Crash: "), "{crash:#?}");
        let audit = shop.audit();
        assert!(number_behind(last_line(&audit), "open ") > 0, "{audit:#?}");
        assert!(
            inboxes(&audit)[2] > 0,
            "nothing waits to be sent: {audit:#?}"
        );
        // The third effect is not in the topic. The orders' own service had placed six before.
        let told = shop.records(output_topic).await;
        assert_eq!(
            told.len(),
            if service == "orders" { 8 } else { 2 },
            "{service}: {told:?}"
        );

        let output = shop.run(&[]);
        assert!(output.success, "{service}: {output:#?}");
        assert_readable(&output);
        assert_eq!(
            last_line(&output),
            "6 orders: shipped 4, cancelled 2, open 0, wrong 0"
        );
        let [messages, deliveries, unsent] = inboxes(&output);
        assert_eq!((messages, unsent), (MESSAGES, 0), "{service}: {output:#?}");
        assert!(deliveries >= 2 * messages, "{service}: {output:#?}");
        // No step is shown by both lives. One that was entered may have died with the line that was to show it.
        let lines = [&crash, &output].map(|output| steps(output).into_values().flatten().count());
        assert!(
            lines.iter().sum::<usize>() <= 50,
            "{service}: {crash:#?}{output:#?}"
        );
        check_topics(&shop, 6).await;
    }
}

/// Every message is in its topic, once at least; and each order's own come in the order of its steps.
async fn check_topics(shop: &Shop, orders: usize) {
    for topic in ["orders", "notices"] {
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (order, status) in shop.records(topic).await {
            let statuses = seen.entry(order).or_default();
            // Sent again after a crash.
            if !statuses.contains(&status) {
                statuses.push(status);
            }
        }
        assert_eq!(seen.len(), orders, "{topic}: {seen:?}");
        for (order, statuses) in &seen {
            assert!(
                *statuses == ["placed", "paid", "shipped"] || *statuses == ["placed", "cancelled"],
                "{topic}: {order} {statuses:?}"
            );
        }
    }
    let replies = |records: Vec<(String, String)>| -> BTreeSet<(String, String)> {
        records.into_iter().collect()
    };
    let stock = replies(shop.records("stock").await);
    let payments = replies(shop.records("payments").await);
    let shipments = replies(shop.records("shipments").await);
    let count = |of: &BTreeSet<(String, String)>, what: &str| {
        of.iter().filter(|(_, found)| found == what).count()
    };
    assert_eq!(
        count(&stock, "reserved") + count(&stock, "sold-out"),
        orders,
        "{stock:?}"
    );
    assert_eq!(
        count(&payments, "charged") + count(&payments, "declined"),
        orders,
        "{payments:?}"
    );
    assert_eq!(count(&stock, "released"), count(&payments, "declined"));
    assert_eq!(count(&payments, "refunded"), count(&stock, "sold-out"));
    assert_eq!(
        shipments.len(),
        orders - count(&stock, "sold-out") - count(&payments, "declined")
    );
}

/// Sixty orders: of ten and ten that want one teapot or two there is one for one of them, and ten are too dear.
const SIXTY: &str = "60 orders: shipped 31, cancelled 29, open 0, wrong 0";

/// Killed again and again, wherever it is. Nothing is lost, nothing is done twice, and the offsets come to the end.
#[tokio::test]
async fn example_4_survives_being_killed() {
    let kafka = Kafka::start().await;
    let shop = Shop::new(kafka.cluster().servers().as_str());
    let orders = ["--orders", "60"];
    for words in ["charged", "cancelled", "shipped", "refunded"] {
        let mut running = shop.start(&orders);
        running.read_until(words);
        running.signal("KILL");
        let output = running.end(Duration::from_secs(20));
        assert_eq!(output.code, None, "{output:#?}");
        shop.audit();
    }
    let output = shop.run(&orders);
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), SIXTY);
    assert_eq!(inboxes(&output)[2], 0, "{output:#?}");
    check_topics(&shop, 60).await;
    // What was sent a second time need not have been read when everything was done.
    let (committed, there) = shop.committed();
    let needed = inboxes(&output)[0].cast_signed();
    assert!(
        (needed..=there).contains(&committed),
        "{committed} of {there} were committed, {needed} are needed"
    );
}

/// Ctrl-C in the middle: what was begun is finished, told and committed. The next run goes on, and nothing is delivered again.
#[tokio::test]
async fn example_4_stops_in_order_at_a_signal() {
    let kafka = Kafka::start().await;
    let shop = Shop::new(kafka.cluster().servers().as_str());
    let orders = ["--orders", "60"];
    for (signal, words) in [("INT", "paid"), ("TERM", "mail: shipped")] {
        let mut running = shop.start(&orders);
        running.read_until(words);
        running.signal(signal);
        let output = running.end(Duration::from_secs(20));
        assert!(output.success, "SIG{signal}: {output:#?}");
        assert_readable(&output);
        let last = last_line(&output);
        assert!(
            last.ends_with(", wrong 0 (stopped early)"),
            "SIG{signal}: {last}"
        );
        assert!(
            number_behind(last, "open ") > 0,
            "SIG{signal} came too late: {last}"
        );
        let again = format!("It goes on with --shop {}", shop.name);
        assert!(
            output.stdout.lines().any(|line| line == again),
            "{output:#?}"
        );
        // Nothing is half done: whatever is in the books was told, and every message in them was committed.
        let [messages, deliveries, unsent] = inboxes(&output);
        assert_eq!(
            (deliveries, unsent),
            (messages, 0),
            "SIG{signal}: {output:#?}"
        );
        let (committed, _) = shop.committed();
        assert_eq!(
            committed,
            messages.cast_signed(),
            "SIG{signal}: {output:#?}"
        );
    }
    let output = shop.run(&orders);
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), SIXTY);
    let [messages, deliveries, _] = inboxes(&output);
    assert_eq!(deliveries, 2 * messages, "{output:#?}");
    check_topics(&shop, 60).await;
}

/// Each service in a process of its own. One is killed and started again, and the others go on.
#[tokio::test]
async fn example_4_runs_as_five_processes() {
    let kafka = Kafka::start().await;
    let shop = Shop::new(kafka.cluster().servers().as_str());
    let start = |service: &str| shop.start(&["--orders", "12", "--role", service]);
    let mut payments = start("payments");
    let mut others: Vec<Running> = ["inventory", "shipping", "notifications", "orders"]
        .map(start)
        .into();
    payments.read_until("charged");
    payments.signal("KILL");
    payments.end(Duration::from_secs(20));
    others.push(start("payments"));

    let deadline = Instant::now() + Duration::from_secs(90);
    let audit = loop {
        let audit = shop.audit();
        if last_line(&audit).contains("open 0") && inboxes(&audit)[2] == 0 {
            break audit;
        }
        assert!(Instant::now() < deadline, "{audit:#?}");
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(
        last_line(&audit),
        "12 orders: shipped 7, cancelled 5, open 0, wrong 0"
    );
    for running in others {
        running.signal("INT");
        let output = running.end(Duration::from_secs(20));
        assert!(output.success, "{output:#?}");
        assert!(
            last_line(&output).ends_with(" stopped in order"),
            "{output:#?}"
        );
        assert_readable(&output);
    }
    check_topics(&shop, 12).await;
    let (committed, there) = shop.committed();
    let needed = inboxes(&audit)[0].cast_signed();
    assert!(
        (needed..=there).contains(&committed),
        "{committed} of {there} were committed, {needed} are needed"
    );
}

/// What is not an order is put aside by everybody who reads it, and the orders behind it go on.
#[tokio::test]
async fn example_4_puts_aside_what_is_no_order() {
    let kafka = Kafka::start().await;
    let shop = Shop::new(kafka.cluster().servers().as_str());
    assert!(shop.run(&["--orders", "1"]).success);
    let producer = RecordProducer::new(kafka.cluster(), &ProducerSettings::reliable()).unwrap();
    let wrong_sum = br#"{"order_id":"order-x","customer_id":"customer-1","status":"placed",
        "placed_at":"2026-03-14T09:26:53Z","items":[{"product_id":"coffee","quantity":2,
        "unit_price":{"minor_units":350,"currency":"EUR"}}],"total":{"minor_units":1,"currency":"EUR"}}"#;
    for payload in [&wrong_sum[..], b"two coffees"] {
        // As keys, these go to the partitions of all orders.
        for key in ["order-1", "order-2", "order-3"] {
            producer
                .send(&shop.topic("orders"), key.as_bytes(), payload)
                .await
                .unwrap();
        }
    }
    let output = shop.run(&["--orders", "6"]);
    assert!(output.success, "{output:#?}");
    assert_eq!(
        last_line(&output),
        "6 orders: shipped 4, cancelled 2, open 0, wrong 0"
    );
    for service in ["inventory", "payments", "shipping", "notifications"] {
        let mut reasons = Vec::new();
        let topic = shop.topic(&format!("{service}.dead-letter"));
        let read = IsolationLevel::ReadCommitted;
        let count = topic_contents::read(kafka.cluster(), &topic, read, |letter| {
            let reason = kafka_event_streaming::event::header(letter, "dead-letter.error");
            reasons.push(String::from_utf8_lossy(reason.unwrap_or_default()).into_owned());
        });
        // Of the first groups, and of those that read all of it once more.
        assert_eq!(count.await.unwrap(), 12, "{service}: {reasons:?}");
        let of_sum = reasons
            .iter()
            .filter(|reason| reason.contains("is not the sum of the items"));
        assert_eq!(of_sum.count(), 6, "{service}: {reasons:?}");
    }
}

/// A second instance with the same books takes the first one's place, which stops and says why.
#[tokio::test]
async fn example_4_has_one_instance_of_each_service() {
    let kafka = Kafka::start().await;
    let shop = Shop::new(kafka.cluster().servers().as_str());
    let role = ["--orders", "1", "--role", "notifications"];
    let mut first = shop.start(&role);
    let orders = shop.start(&["--orders", "1", "--role", "orders"]);
    first.read_until("mail: placed");
    let second = shop.start(&role);
    let output = first.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(
        output.stderr.contains("notifications stopped"),
        "{output:#?}"
    );
    for running in [second, orders] {
        running.signal("INT");
        let output = running.end(Duration::from_secs(20));
        assert!(output.success, "{output:#?}");
    }
}

/// Requests and answers are lost for a while, and then every one of them, on a broker of its own. When it is back, all goes on.
#[tokio::test]
async fn example_4_bears_a_broker_that_is_away_for_a_while() {
    let broker = Broker::builder().start().await.unwrap();
    let shop = Shop::new(&broker.bootstrap_servers());
    let faults = || broker.faults().on(ApiKey::Produce);
    faults().probability(0.1, 3).drop_connection();
    faults().probability(0.1, 7).apply_then_drop();
    let lost = broker.faults().on(ApiKey::OffsetCommit);
    lost.probability(0.2, 5).drop_connection();
    let mut running = shop.start(&["--orders", "60"]);
    running.read_until("paid");
    let outage = broker.faults().on_any().drop_connection();
    std::thread::sleep(Duration::from_secs(2));
    assert!(outage.hits() > 0, "nobody noticed that it was away");
    broker.faults().clear();
    let output = running.end(Duration::from_secs(90));
    assert!(output.success, "{output:#?}");
    assert_eq!(last_line(&output), SIXTY);
    check_topics(&shop, 60).await;
}

/// A service alone waits for a broker that is gone. Ctrl-C ends it all the same.
#[tokio::test]
async fn example_4_ends_a_service_that_waits_for_its_broker() {
    let broker = Broker::builder().start().await.unwrap();
    let shop = Shop::new(&broker.bootstrap_servers());
    let mut running = shop.start(&["--role", "orders"]);
    running.read_until("placed");
    drop(broker);
    running.signal("INT");
    let output = running.end(Duration::from_secs(20));
    assert_ne!(output.code, None, "{output:#?}");
    shop.audit();
}

/// On a broker of its own, whatever the environment says: when it goes away, there is a message that names it; and one that has
/// forgotten everything is not mistaken for it.
#[tokio::test]
async fn example_4_says_so_when_the_broker_goes_away() {
    let broker = Broker::builder().start().await.unwrap();
    let shop = Shop::new(&broker.bootstrap_servers());
    let mut running = shop.start(&["--orders", "60"]);
    running.read_until("paid");
    drop(broker);
    let output = running.end(Duration::from_secs(60));
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains(&shop.servers), "{output:#?}");
    shop.audit();

    let other = Broker::builder().start().await.unwrap();
    // The second time as well: the first one left no topics behind.
    for _ in 0..2 {
        let output = EXAMPLE.run(&other.bootstrap_servers(), &shop.arguments(&[]));
        assert_eq!(output.code, Some(1), "{output:#?}");
        for words in [
            "this broker has forgotten",
            "choose another --shop",
            &shop.name,
        ] {
            assert!(output.stderr.contains(words), "{words:?}: {output:#?}");
        }
    }
}

#[test]
fn example_4_without_a_broker_says_so_at_once() {
    EXAMPLE.assert_says_that_no_broker_answers();
}

#[test]
fn example_4_looks_at_the_books_of_shops_that_exist() {
    let shop = Shop::new("127.0.0.1:1");
    let output = shop.run(&["--audit"]);
    assert_eq!(output.code, Some(1), "{output:#?}");
    assert!(output.stderr.contains("there is no shop"), "{output:#?}");
}
