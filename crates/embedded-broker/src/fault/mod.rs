//! Faults: what a test makes go wrong on purpose.
//!
//! [`Faults`] is where a test sets them, [`serve`] the one place where a request meets them. While none is set they cost one
//! relaxed load a request. A fault works on the messages of the protocol, not on what an API makes of them: it decodes a
//! request once more, takes out what it is about, has the API answer the rest, and puts both answers together.

mod answers;
mod request;
mod rules;
mod serve;

pub(crate) use rules::Rules;
pub(crate) use serve::serve;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

use request::Selector;
use rules::{Action, Chance, Filter, Rule};

/// The frame in which everything that a request asks for failed with `error`, without a fault and without anything being done.
/// None if the protocol has no answer to this request.
///
/// # Errors
/// If `body` is no such request.
pub(crate) fn refuse(
    api: ApiKey,
    version: i16,
    correlation_id: i32,
    body: &Bytes,
    error: ResponseError,
) -> anyhow::Result<Option<Bytes>> {
    let asked = answers::examine(api, version, body)?;
    match asked.split(&Selector::default()) {
        Some(all) => all.refuse(error, correlation_id, None),
        None => Ok(None),
    }
}

/// Where faults are set; from [`Broker::faults`](crate::Broker::faults).
///
/// A fault is described from left to right: the API, which of its requests, how often, and last what happens, which sets it.
/// Of several faults that a request runs into, all delays add up; of the others the one that was set first decides.
///
/// ```
/// use embedded_broker::{ApiKey, Broker, ErrorCode};
/// use std::time::Duration;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), embedded_broker::StartError> {
/// let broker = Broker::builder().start().await?;
/// let faults = broker.faults();
///
/// // The leader of `orders` turns three batches away; every client tries again.
/// let refused = faults
///     .on(ApiKey::Produce)
///     .topic("orders")
///     .times(3)
///     .error(ErrorCode::NotLeaderOrFollower);
/// // One batch is written, and its acknowledgement lost. A producer that is not idempotent writes it twice.
/// faults.on(ApiKey::Produce).once().apply_then_drop();
/// // One client has a slow network.
/// faults.on_any().client_id("c1").delay(Duration::from_millis(250));
/// // The same one in twenty of all fetches fails in each run.
/// faults.on(ApiKey::Fetch).probability(0.05, 42).drop_connection();
///
/// assert_eq!(refused.hits(), 0);
/// faults.clear();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Faults {
    rules: Arc<Rules>,
}

impl Faults {
    pub(crate) fn new(rules: Arc<Rules>) -> Self {
        Self { rules }
    }

    /// A fault of requests of one API.
    pub fn on(&self, api: ApiKey) -> FaultBuilder {
        self.build(Some(api))
    }

    /// A fault of requests of every API.
    pub fn on_any(&self) -> FaultBuilder {
        self.build(None)
    }

    /// Clears every fault. Requests that are delayed or held go on.
    pub fn clear(&self) {
        self.rules.clear_all();
    }

    fn build(&self, api: Option<ApiKey>) -> FaultBuilder {
        FaultBuilder {
            rules: Arc::clone(&self.rules),
            filter: Filter {
                api,
                ..Filter::default()
            },
            times: None,
            chance: None,
        }
    }
}

/// A fault that is being described; from [`Faults::on`].
#[derive(Clone, Debug)]
#[must_use = "a fault is set by what happens: error(..), delay(..), drop_connection(), ..."]
pub struct FaultBuilder {
    rules: Arc<Rules>,
    filter: Filter,
    times: Option<u64>,
    chance: Option<Chance>,
}

impl FaultBuilder {
    /// Only requests that name this topic. An error then concerns this topic alone: what else the request asks for is done.
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.filter.topic = Some(name.into());
        self
    }

    /// Only requests that name this group.
    pub fn group(mut self, id: impl Into<String>) -> Self {
        self.filter.group = Some(id.into());
        self
    }

    /// Only requests that name this `transactional.id`.
    pub fn transactional_id(mut self, id: impl Into<String>) -> Self {
        self.filter.transactional_id = Some(id.into());
        self
    }

    /// Only requests of clients with this `client.id`.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.filter.client_id = Some(id.into());
        self
    }

    /// Only requests that are sent to this node.
    pub fn node(mut self, node_id: i32) -> Self {
        self.filter.node_id = Some(node_id);
        self
    }

    /// Only the first `count` of them; the fault then clears itself.
    pub fn times(mut self, count: u64) -> Self {
        self.times = Some(count);
        self
    }

    /// Only the first of them.
    pub fn once(self) -> Self {
        self.times(1)
    }

    /// Each of them with this probability, from 0 to 1. The same `seed` strikes the same ones in each run.
    pub fn probability(mut self, probability: f64, seed: u64) -> Self {
        self.chance = Some(Chance::new(probability, seed));
        self
    }

    /// Has the request fail: nothing is done, and the answer carries `error` wherever Apache Kafka would put it, for each
    /// partition, topic, group or member, or for all. A request that has no answer, Produce with acks=0, has its connection
    /// closed.
    pub fn error(self, error: ResponseError) -> Fault {
        self.set(Action::Error(error))
    }

    /// Has the request done and the answer say that it failed: a time-out on the way back, for example.
    pub fn apply_then_error(self, error: ResponseError) -> Fault {
        self.set(Action::ApplyThenError(error))
    }

    /// Has the connection closed: nothing is done.
    pub fn drop_connection(self) -> Fault {
        self.set(Action::Drop)
    }

    /// Has the request done and the connection closed: the client cannot know.
    pub fn apply_then_drop(self) -> Fault {
        self.set(Action::ApplyThenDrop)
    }

    /// Has the request wait before it is done. Later requests on its connection wait behind it, as on Apache Kafka; it is done
    /// even if the client hangs up meanwhile.
    pub fn delay(self, delay: Duration) -> Fault {
        self.set(Action::Delay(delay))
    }

    /// Has the request wait until the fault is cleared.
    pub fn hold(self) -> Fault {
        self.set(Action::Hold)
    }

    fn set(self, action: Action) -> Fault {
        let rule = self.rules.add(self.filter, action, self.times, self.chance);
        Fault {
            rules: self.rules,
            rule,
        }
    }
}

/// A fault that was set. Dropping the handle changes nothing.
#[derive(Clone, Debug)]
pub struct Fault {
    rules: Arc<Rules>,
    rule: Arc<Rule>,
}

impl Fault {
    /// How many requests it struck.
    #[must_use]
    pub fn hits(&self) -> u64 {
        self.rule.hits.load(Ordering::Relaxed)
    }

    /// Clears the fault. Requests that it delays or holds go on.
    pub fn clear(&self) {
        self.rules.clear(&self.rule);
    }
}
