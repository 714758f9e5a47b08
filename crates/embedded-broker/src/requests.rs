//! What clients asked for: all of it counted, the latest remembered, so that a test can judge a client by its requests.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use kafka_protocol::messages::ApiKey;
use parking_lot::Mutex;

/// Keys of APIs are smaller than this; the newest is 92.
const KEYS: usize = 128;
/// Clients beyond this many are counted together: a client may make up a new name for each connection.
const MAX_CLIENTS: usize = 1_000;
/// The name that they are counted under.
const OTHERS: &str = "(other clients)";

/// Counts and remembers requests; shared by all connections.
#[derive(Debug)]
pub(crate) struct RequestLog {
    started: Instant,
    /// How many requests are remembered; counting has no limit.
    capacity: usize,
    remembered: Mutex<Remembered>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// By `client.id`.
    clients: HashMap<String, Arc<Client>>,
    /// The latest requests, oldest first.
    latest: VecDeque<Entry>,
}

/// What one client asked for. Connections keep theirs, so that counting needs no look-up.
#[derive(Debug)]
pub(crate) struct Client {
    id: String,
    /// By the key of the API.
    counts: [AtomicU64; KEYS],
}

#[derive(Clone, Debug)]
struct Entry {
    at: Instant,
    node_id: i32,
    api: ApiKey,
    version: i16,
    client: Arc<Client>,
}

impl Client {
    /// Whether requests under this `client.id` are counted here.
    pub(crate) fn is(&self, client_id: &str) -> bool {
        self.id == client_id
    }

    fn count(&self, api: ApiKey) -> u64 {
        let key = usize::try_from(api as i16).unwrap_or(KEYS);
        let count = self.counts.get(key);
        count.map_or(0, |count| count.load(Ordering::Relaxed))
    }
}

impl RequestLog {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            started: Instant::now(),
            capacity,
            remembered: Mutex::default(),
        }
    }

    /// Where requests under this `client.id` are counted.
    pub(crate) fn client(&self, client_id: &str) -> Arc<Client> {
        let clients = &mut self.remembered.lock().clients;
        let name = match clients.len() < MAX_CLIENTS || clients.contains_key(client_id) {
            true => client_id,
            false => OTHERS,
        };
        let client = clients.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(Client {
                id: name.to_owned(),
                counts: std::array::from_fn(|_| AtomicU64::new(0)),
            })
        });
        Arc::clone(client)
    }

    /// Takes note of a request that has arrived.
    pub(crate) fn record(
        &self,
        client: &Arc<Client>,
        node_id: i32,
        api: ApiKey,
        version: i16,
        at: Instant,
    ) {
        let key = usize::try_from(api as i16).unwrap_or(KEYS);
        if let Some(count) = client.counts.get(key) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if self.capacity == 0 {
            return;
        }
        let latest = &mut self.remembered.lock().latest;
        if latest.len() == self.capacity {
            latest.pop_front();
        }
        latest.push_back(Entry {
            at,
            node_id,
            api,
            version,
            client: Arc::clone(client),
        });
    }
}

/// The requests that have arrived; from [`Broker::requests`](crate::Broker::requests). Each is counted as it arrives, whatever
/// becomes of it.
///
/// ```
/// use embedded_broker::{ApiKey, Broker};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), embedded_broker::StartError> {
/// let broker = Broker::builder().start().await?;
/// // ... run the code under test ...
/// let commits = broker.requests().client_id("worker-1").count(ApiKey::OffsetCommit);
/// assert_eq!(commits, 0, "an idle worker has nothing to commit");
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Requests {
    log: Arc<RequestLog>,
    client_id: Option<String>,
}

impl Requests {
    pub(crate) fn new(log: Arc<RequestLog>) -> Self {
        Self {
            log,
            client_id: None,
        }
    }

    /// Only requests of clients with this `client.id`. Beyond 1,000 different ones, clients are counted as `(other clients)`.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// How many requests of this API have arrived.
    #[must_use]
    pub fn count(&self, api: ApiKey) -> u64 {
        let remembered = self.log.remembered.lock();
        let clients = remembered.clients.values();
        clients
            .filter(|client| self.selects(client))
            .map(|client| client.count(api))
            .sum()
    }

    /// The latest requests, oldest first: as many as
    /// [`Builder::remembered_requests`](crate::Builder::remembered_requests) says.
    #[must_use]
    pub fn latest(&self) -> Vec<RequestView> {
        let remembered = self.log.remembered.lock();
        let entries = remembered.latest.iter();
        entries
            .filter(|entry| self.selects(&entry.client))
            .map(|entry| RequestView {
                since_start: entry.at.saturating_duration_since(self.log.started),
                node_id: entry.node_id,
                client_id: entry.client.id.clone(),
                api: entry.api,
                version: entry.version,
            })
            .collect()
    }

    /// Forgets what arrived so far, so that a test counts from here.
    pub fn clear(&self) {
        let mut remembered = self.log.remembered.lock();
        remembered
            .latest
            .retain(|entry| !self.selects(&entry.client));
        let clients = remembered.clients.values();
        for client in clients.filter(|client| self.selects(client)) {
            for count in &client.counts {
                count.store(0, Ordering::Relaxed);
            }
        }
    }

    fn selects(&self, client: &Client) -> bool {
        self.client_id.as_ref().is_none_or(|id| client.is(id))
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestView {
    /// When it arrived, counted from the start of the broker.
    pub since_start: Duration,
    /// The node that it was sent to.
    pub node_id: i32,
    /// `client.id`, empty if the client gave none.
    pub client_id: String,
    /// What was asked for.
    pub api: ApiKey,
    /// The version of the API.
    pub version: i16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(capacity: usize) -> Requests {
        Requests::new(Arc::new(RequestLog::new(capacity)))
    }

    fn record(requests: &Requests, client_id: &str, api: ApiKey) {
        let client = requests.log.client(client_id);
        requests.log.record(&client, 0, api, 1, Instant::now());
    }

    #[test]
    fn requests_are_counted_by_api_and_client() {
        let requests = requests(10);
        record(&requests, "a", ApiKey::Fetch);
        record(&requests, "a", ApiKey::Produce);
        record(&requests, "b", ApiKey::Fetch);
        assert_eq!(requests.count(ApiKey::Fetch), 2);
        assert_eq!(requests.clone().client_id("a").count(ApiKey::Fetch), 1);
        assert_eq!(requests.clone().client_id("c").count(ApiKey::Fetch), 0);
        requests.clone().client_id("a").clear();
        assert_eq!(requests.count(ApiKey::Fetch), 1);
        let left: Vec<String> = requests.latest().into_iter().map(|r| r.client_id).collect();
        assert_eq!(left, ["b"]);
    }

    #[test]
    fn the_oldest_requests_are_forgotten_but_stay_counted() {
        let requests = requests(2);
        for api in [ApiKey::Metadata, ApiKey::Produce, ApiKey::Fetch] {
            record(&requests, "a", api);
        }
        let apis: Vec<ApiKey> = requests.latest().into_iter().map(|r| r.api).collect();
        assert_eq!(apis, [ApiKey::Produce, ApiKey::Fetch]);
        assert_eq!(requests.count(ApiKey::Metadata), 1);
    }

    #[test]
    fn clients_that_make_up_names_take_bounded_memory() {
        let requests = requests(0);
        for number in 0..MAX_CLIENTS + 500 {
            record(&requests, &format!("client-{number}"), ApiKey::Fetch);
        }
        assert_eq!(requests.count(ApiKey::Fetch), MAX_CLIENTS as u64 + 500);
        assert_eq!(requests.clone().client_id(OTHERS).count(ApiKey::Fetch), 500);
        assert!(requests.latest().is_empty());
    }
}
