//! Bytes that no client sends on purpose, against every API in every version: no panic, and no answer that cannot be sent.

use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use kafka_protocol::messages::{ApiKey, RequestHeader};
use kafka_protocol::protocol::Encodable;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::Runtime;
use uuid::Uuid;

use super::typical::{self, TOPIC, Typical};
use super::{APIS, Context, Hurry, Refused, Registration};
use crate::clock::Now;
use crate::cluster::{Cluster, Node};
use crate::settings::Settings;
use crate::state::{Shared, State};

/// A broker without sockets.
struct World {
    shared: Arc<Shared>,
    /// The id of [`TOPIC`].
    topic_id: Uuid,
    /// What waits needs one.
    runtime: Runtime,
}

impl World {
    /// With the topic that requests name, and records in it.
    fn new() -> Self {
        let node = Node {
            id: 0,
            address: ([127, 0, 0, 1], 9092).into(),
            advertised_host: "127.0.0.1".to_owned(),
            tls: None,
            running: true,
        };
        let state = State::new(Settings::default(), Cluster::new(vec![node]));
        let mut world = Self {
            shared: Shared::new(state),
            topic_id: Uuid::nil(),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime"),
        };
        for api in [ApiKey::CreateTopics, ApiKey::Produce] {
            let api = registration(api);
            let request = world.typical(api, *api.versions.start());
            let answer = world.serve(api, *api.versions.start(), request.body);
            assert!(matches!(answer, Poll::Ready(Ok(Some(_)))), "{:?}", api.key);
        }
        let topic = world
            .shared
            .state
            .lock()
            .topics
            .get(TOPIC)
            .map(|topic| topic.id);
        world.topic_id = topic.expect("the topic was created");
        world
    }

    fn typical(&self, api: &Registration, version: i16) -> Typical {
        typical::request(api.key, version, self.topic_id)
            .unwrap_or_else(|| panic!("src/api/typical has no request for {:?}", api.key))
    }

    /// Has the API look at a request once. What is parked then is left alone, as by a client that hangs up.
    fn serve(
        &self,
        api: &Registration,
        version: i16,
        body: Bytes,
    ) -> Poll<Result<Option<Bytes>, Refused>> {
        let _entered = self.runtime.enter();
        let cx = Context {
            now: Now::read(),
            arrived: Instant::now(),
            node_id: 0,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            version,
            hurry: Arc::new(Hurry::default()),
            session: Arc::default(),
        };
        let mut serving = (api.serve)(Arc::clone(&self.shared), cx, typical::CORRELATION_ID, body);
        serving.as_mut().poll(&mut Task::from_waker(Waker::noop()))
    }

    /// Lets as much time pass as the state believes.
    fn pass(&self, time: Duration) {
        self.shared.state.lock().tick(Now::read().after(time));
    }
}

fn registration(api: ApiKey) -> &'static Registration {
    super::find(api as i16).unwrap_or_else(|| panic!("{api:?} is not offered"))
}

/// Every API in every version that is offered.
fn all_versions() -> impl Iterator<Item = (&'static Registration, i16)> {
    APIS.iter()
        .flat_map(|api| api.versions.clone().map(move |version| (api, version)))
}

/// Whatever a request says, its answer can be sent, and what cannot be decoded is refused for that and nothing else.
fn check_outcome(
    api: &Registration,
    version: i16,
    outcome: &Poll<Result<Option<Bytes>, Refused>>,
) -> Result<(), String> {
    match outcome {
        Poll::Ready(Err(Refused::Unencodable { source, .. })) => {
            Err(format!("{:?} version {version}: {source}", api.key))
        }
        _ => Ok(()),
    }
}

#[test]
fn every_api_has_a_typical_request_and_some_version_takes_each_of_its_steps() {
    for api in APIS {
        let mut taken: Vec<bool> = Vec::new();
        for version in api.versions.clone() {
            let request = typical::request(api.key, version, Uuid::from_u128(1))
                .unwrap_or_else(|| panic!("src/api/typical has no request for {:?}", api.key));
            taken.resize(request.taken.len(), false);
            for (any, this) in taken.iter_mut().zip(request.taken) {
                *any |= this;
            }
        }
        assert!(!taken.contains(&false), "{:?}: {taken:?}", api.key);
    }
}

#[test]
fn every_api_answers_in_every_version_as_its_schema_says() {
    // In a world of its own, and in one that has seen all other requests.
    let lived_in = World::new();
    for (api, version) in all_versions() {
        for world in [&World::new(), &lived_in] {
            let request = world.typical(api, version);
            let name = format!("{:?} version {version}", api.key);
            match world.serve(api, version, request.body.clone()) {
                Poll::Ready(Ok(Some(mut answer))) => {
                    let length = usize::try_from(answer.get_i32()).expect("a length");
                    assert_eq!(answer.len(), length, "{name}");
                    let read = request.read_answer(answer);
                    assert!(read.is_ok(), "{name}: {read:?}");
                }
                // Parked until others have done their part.
                Poll::Pending => world.pass(Duration::from_secs(60)),
                other => panic!("{name} is not answered: {other:?}"),
            }
        }
    }
}

#[test]
fn a_request_that_is_cut_at_any_length_is_refused() {
    for (api, version) in all_versions() {
        let world = World::new();
        let whole = world.typical(api, version).body;
        for length in 0..whole.len() {
            let outcome = world.serve(api, version, whole.slice(..length));
            assert!(
                matches!(outcome, Poll::Ready(Err(Refused::Undecodable { .. }))),
                "{:?} version {version}, {length} of {} bytes: {outcome:?}",
                api.key,
                whole.len()
            );
        }
    }
}

/// Counts of plain arrays, strings and bytes, and of their compact forms, tagged fields included: wherever there is one, it
/// promises all that it can.
#[test]
fn a_count_that_lies_is_not_believed_wherever_it_stands() {
    const LIES: [&[u8]; 5] = [
        &[0x7f, 0xff, 0xff, 0xff],
        &[0xff, 0xff, 0xff, 0xff],
        &[0x7f, 0xff],
        &[0xff, 0xff, 0xff, 0xff, 0x0f],
        &[0xff, 0xff, 0xff, 0xff, 0x07],
    ];
    for (api, version) in all_versions() {
        let world = World::new();
        let whole = world.typical(api, version).body;
        for (position, lie) in (0..whole.len()).flat_map(|at| LIES.map(|lie| (at, lie))) {
            let (before, after) = whole.split_at(position);
            let inserted = [before, lie, &after[1..]].concat();
            let mut replaced = whole.to_vec();
            let end = (position + lie.len()).min(whole.len());
            replaced[position..end].copy_from_slice(&lie[..end - position]);
            for lying in [inserted, replaced] {
                let outcome = world.serve(api, version, lying.into());
                check_outcome(api, version, &outcome).expect("an answer that can be sent");
            }
        }
    }
}

/// What is done to a request on its way.
#[derive(Clone, Debug)]
enum Mutation {
    Set(Index, u8),
    Number(Index, i32),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    /// A part of the request comes once more, somewhere.
    Repeat(Index, usize, Index),
    Cut(Index),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        let number = prop_oneof![
            Just(i32::MAX),
            Just(i32::MIN),
            Just(-1),
            0..20_i32,
            any::<i32>()
        ];
        prop_oneof![
            (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Self::Set(at, byte)),
            (any::<Index>(), number).prop_map(|(at, number)| Self::Number(at, number)),
            (any::<Index>(), vec(any::<u8>(), 1..20))
                .prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            (any::<Index>(), 1..20_usize).prop_map(|(at, count)| Self::Remove(at, count)),
            (any::<Index>(), 1..60_usize, any::<Index>())
                .prop_map(|(from, count, to)| Self::Repeat(from, count, to)),
            any::<Index>().prop_map(Self::Cut),
        ]
    }

    fn apply(&self, bytes: &mut Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let length = bytes.len();
        let part = |at: &Index, count: usize| {
            let start = at.index(length);
            start..(start + count).min(length)
        };
        match self {
            Self::Set(at, byte) => bytes[part(at, 1)].fill(*byte),
            Self::Number(at, number) => {
                let part = part(at, 4);
                let number = &number.to_be_bytes()[..part.len()];
                bytes[part].copy_from_slice(number);
            }
            Self::Insert(at, inserted) => {
                let at = part(at, 0);
                bytes.splice(at, inserted.iter().copied());
            }
            Self::Remove(at, count) => {
                let part = part(at, *count);
                bytes.drain(part);
            }
            Self::Repeat(from, count, to) => {
                let repeated = bytes[part(from, *count)].to_vec();
                let to = part(to, 0);
                bytes.splice(to, repeated);
            }
            Self::Cut(at) => bytes.truncate(at.index(length)),
        }
    }
}

/// A request of any API and version, and the time that passes after it.
#[derive(Clone, Debug)]
struct Step {
    api: Index,
    version: Index,
    mutations: Vec<Mutation>,
    then: Duration,
}

impl Step {
    fn any() -> impl Strategy<Value = Self> {
        let time = prop_oneof![4 => Just(0), 1 => 0..120_000_u64];
        (
            any::<Index>(),
            any::<Index>(),
            vec(Mutation::any(), 0..5),
            time,
        )
            .prop_map(|(api, version, mutations, then)| Self {
                api,
                version,
                mutations,
                then: Duration::from_millis(then),
            })
    }

    fn api(&self) -> (&'static Registration, i16) {
        let api = self.api.get(APIS);
        let versions: Vec<i16> = api.versions.clone().collect();
        (api, *self.version.get(&versions))
    }
}

/// The typical request behind its header.
fn framed(api: &Registration, version: i16) -> Vec<u8> {
    let request = typical::request(api.key, version, Uuid::nil());
    let header = RequestHeader::default()
        .with_request_api_key(api.key as i16)
        .with_request_api_version(version)
        .with_correlation_id(typical::CORRELATION_ID);
    let mut frame = Vec::new();
    let header_version = api.key.request_header_version(version);
    header.encode(&mut frame, header_version).expect("a header");
    frame.extend_from_slice(&request.expect("a typical request").body);
    frame
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        // A failure prints the smallest input that makes it: that becomes a test of its own.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn requests_that_were_tampered_with_do_no_harm(steps in vec(Step::any(), 1..25)) {
        let world = World::new();
        for step in &steps {
            let (api, version) = step.api();
            let mut body = world.typical(api, version).body.to_vec();
            for mutation in &step.mutations {
                mutation.apply(&mut body);
            }
            let outcome = world.serve(api, version, body.into());
            prop_assert_eq!(check_outcome(api, version, &outcome), Ok(()));
            if !step.then.is_zero() {
                world.pass(step.then);
            }
        }
    }

    /// The same on the way that frames take, header included, up to the first frame for which the connection is closed.
    #[test]
    fn frames_that_were_tampered_with_do_no_harm(steps in vec(Step::any(), 1..25)) {
        let mut input = Vec::new();
        for step in &steps {
            let (api, version) = step.api();
            let mut frame = framed(api, version);
            for mutation in &step.mutations {
                mutation.apply(&mut frame);
            }
            let length = u16::try_from(frame.len()).expect("a short frame");
            input.extend_from_slice(&length.to_be_bytes());
            input.extend_from_slice(&frame);
        }
        prop_assert!(crate::fuzzing::serve_frames(&input).is_ok());
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(
        step in Step::any(),
        body in vec(any::<u8>(), 0..300),
    ) {
        let world = World::new();
        let (api, version) = step.api();
        let outcome = world.serve(api, version, body.into());
        prop_assert_eq!(check_outcome(api, version, &outcome), Ok(()));
    }
}
