//! The broker under test: the one at `KAFKA_BOOTSTRAP_SERVERS`, or one embedded broker for this test process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use embedded_broker::Broker;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::offset_fetch_request::OffsetFetchRequestGroup;
use kafka_protocol::messages::{
    DescribeTransactionsRequest, FindCoordinatorRequest, InitProducerIdRequest, OffsetFetchRequest,
};
use kafka_protocol::protocol::StrBytes;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::raw::RawClient;
use super::wait::{DEADLINE, eventually};

/// Set once, by the first test that asks.
static ADDRESS: OnceCell<String> = OnceCell::const_new();
/// Here it lives as long as the process.
static EMBEDDED: OnceLock<Broker> = OnceLock::new();

/// The address of the broker under test, once its coordinators serve.
pub(crate) async fn broker() -> &'static str {
    ADDRESS
        .get_or_init(|| async {
            match std::env::var("KAFKA_BOOTSTRAP_SERVERS") {
                Ok(address) => {
                    wait_for_coordinators(&address).await;
                    address
                }
                Err(_) => start_embedded().await,
            }
        })
        .await
}

/// The embedded broker serves on a thread of its own: it outlives the runtime of the test that starts it.
async fn start_embedded() -> String {
    let broker = Broker::builder()
        .listen("127.0.0.1:0")
        .partitions(3)
        .log_check_interval(Duration::from_millis(100))
        .start()
        .await;
    let broker = broker.expect("start the embedded broker");
    EMBEDDED.get_or_init(|| broker).bootstrap_servers()
}

/// A fresh Apache Kafka creates its internal topics at the first question, loads each of their partitions and reserves its
/// first producer ids, answering "not yet" meanwhile. Asked here once, so that no test has to. 64 names reach every
/// partition of a small internal topic.
async fn wait_for_coordinators(address: &str) {
    let mut client = RawClient::connect_to(address).await;
    let names: Vec<String> = (0..64).map(|number| format!("warm-up-{number}")).collect();
    for key_type in [0, 1] {
        eventually(
            DEADLINE,
            "coordinators of groups and transactions",
            async || {
                let keys = names.iter().map(|name| name.clone().into()).collect();
                let request = FindCoordinatorRequest::default()
                    .with_key_type(key_type)
                    .with_coordinator_keys(keys);
                let answer = client.send(4, request).await;
                answer
                    .coordinators
                    .iter()
                    .all(|coordinator| coordinator.error_code == 0)
                    .then_some(())
            },
        )
        .await;
    }
    eventually(DEADLINE, "groups to be loaded", async || {
        let groups = names.iter().map(|name| {
            OffsetFetchRequestGroup::default()
                .with_group_id(StrBytes::from(name.clone()).into())
                .with_topics(None)
        });
        let answer = client
            .send(
                8,
                OffsetFetchRequest::default().with_groups(groups.collect()),
            )
            .await;
        answer
            .groups
            .iter()
            .all(|group| group.error_code == 0)
            .then_some(())
    })
    .await;
    eventually(DEADLINE, "transactions to be loaded", async || {
        let ids = names.iter().map(|name| StrBytes::from(name.clone()).into());
        let request = DescribeTransactionsRequest::default().with_transactional_ids(ids.collect());
        let answer = client.send(0, request).await;
        let unknown = ResponseError::TransactionalIdNotFound.code();
        answer
            .transaction_states
            .iter()
            .all(|state| state.error_code == unknown)
            .then_some(())
    })
    .await;
    eventually(DEADLINE, "producer ids", async || {
        let request = InitProducerIdRequest::default().with_transactional_id(None);
        (client.send(4, request).await.error_code == 0).then_some(())
    })
    .await;
}

/// A name that no other test and no other run uses: `what` says in the broker's log whose it is.
pub(crate) fn unique(what: &str) -> String {
    static COUNTER: AtomicU32 = AtomicU32::new(0);
    let run = &Uuid::new_v4().simple().to_string()[..8];
    format!("{what}-{run}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}
