//! What a fault needs to know of a request: what it names, how to split it, and how an answer says that it failed.

use anyhow::Context as _;
use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{ApiKey, ResponseHeader};
use kafka_protocol::protocol::{Decodable, Request, StrBytes};
use uuid::Uuid;

use crate::net::frame::LENGTH_BYTES;
use crate::net::wire::{FromWire, encode_answer};

/// Which parts of a request a rule is about. What is not set is about all of them.
#[derive(Clone, Debug, Default)]
pub(super) struct Selector {
    pub(super) topic: Option<TopicSelector>,
    pub(super) group: Option<String>,
    pub(super) transactional_id: Option<String>,
}

/// A topic by its name and, for requests that say nothing else, by its id.
#[derive(Clone, Debug)]
pub(super) struct TopicSelector {
    pub(super) name: String,
    /// None while there is no topic of this name.
    pub(super) id: Option<Uuid>,
}

impl Selector {
    /// Whether the rule is about a topic that is given by name, by id, or by both.
    pub(super) fn selects_topic(&self, name: &str, id: Uuid) -> bool {
        self.topic
            .as_ref()
            .is_none_or(|topic| topic.name == name || topic.id == Some(id))
    }

    /// Whether the rule is about a request of this group and this transactional id. A rule that names one is not about a
    /// request that has none.
    pub(super) fn selects(&self, group: Option<&str>, transactional_id: Option<&str>) -> bool {
        self.selects_group(group) && selects(&self.transactional_id, transactional_id)
    }

    pub(super) fn selects_group(&self, group: Option<&str>) -> bool {
        selects(&self.group, group)
    }
}

fn selects(wanted: &Option<String>, named: Option<&str>) -> bool {
    wanted.is_none() || wanted.as_deref() == named
}

/// A request taken apart.
#[derive(Debug)]
pub(super) struct Parts<R> {
    /// What the rule is about.
    pub(super) selected: R,
    /// What else was asked for; none if there is nothing else.
    pub(super) rest: Option<R>,
}

/// A request that faults know how to take apart and to refuse.
pub(super) trait Refuse:
    Request<Response: Default> + Clone + std::fmt::Debug + Send + 'static
{
    /// Takes the request apart. None if the selector is not about any of it.
    fn split(&self, selector: &Selector) -> Option<Parts<Self>>;

    /// The answer in which everything that was asked for failed with `error`, in each place where Apache Kafka would say so
    /// (`AbstractRequest.getErrorResponse` and its handlers in `KafkaApis`).
    fn refused(&self, error: ResponseError, version: i16) -> Self::Response;

    /// Puts what was refused into the answer to the rest, or in place of what was answered to the same question.
    fn merge(answer: &mut Self::Response, refused: Self::Response) {
        *answer = refused;
    }

    /// Whether the protocol has an answer to this request.
    fn is_answered(&self) -> bool {
        true
    }
}

/// The request as one part, if the selector is about requests of this group and transactional id.
pub(super) fn whole<R: Clone>(
    request: &R,
    selector: &Selector,
    group: Option<&str>,
    transactional_id: Option<&str>,
) -> Option<Parts<R>> {
    let selected = selector.topic.is_none() && selector.selects(group, transactional_id);
    selected.then(|| Parts {
        selected: request.clone(),
        rest: None,
    })
}

/// The request split by the elements of the list that `list` finds in it.
pub(super) fn split_list<R: Clone, T>(
    request: &R,
    list: impl Fn(&mut R) -> &mut Vec<T>,
    is_selected: impl Fn(&T) -> bool,
) -> Option<Parts<R>> {
    let (mut selected, mut rest) = (request.clone(), request.clone());
    list(&mut selected).retain(&is_selected);
    list(&mut rest).retain(|element| !is_selected(element));
    let (nothing_selected, nothing_left) =
        (list(&mut selected).is_empty(), list(&mut rest).is_empty());
    // A request that lists nothing is selected by a rule about everything only.
    match (nothing_selected, nothing_left) {
        (true, false) => None,
        (_, true) => Some(Parts {
            selected,
            rest: None,
        }),
        (false, false) => Some(Parts {
            selected,
            rest: Some(rest),
        }),
    }
}

/// The request split by topics, if the selector is about requests of this group and transactional id.
pub(super) fn split_topics<R: Clone, T>(
    request: &R,
    selector: &Selector,
    (group, transactional_id): (Option<&str>, Option<&str>),
    list: impl Fn(&mut R) -> &mut Vec<T>,
    topic: impl Fn(&T) -> (&str, Uuid),
) -> Option<Parts<R>> {
    if !selector.selects(group, transactional_id) {
        return None;
    }
    split_list(request, list, |element| {
        let (name, id) = topic(element);
        selector.selects_topic(name, id)
    })
}

/// Puts refused results in place of those for the same thing, or behind the others.
pub(super) fn replace<T, K: PartialEq>(
    results: &mut Vec<T>,
    refused: Vec<T>,
    key: impl Fn(&T) -> K,
) {
    results.retain(|result| !refused.iter().any(|other| key(other) == key(result)));
    results.extend(refused);
}

/// Neither a group nor a transactional id.
pub(super) const NO_NAMES: (Option<&str>, Option<&str>) = (None, None);

/// What an error means, for the fields that carry words.
pub(super) fn message(error: ResponseError) -> Option<StrBytes> {
    Some(StrBytes::from_string(error.to_string()))
}

/// A decoded request of whichever API.
pub(super) trait Asked: std::fmt::Debug + Send {
    /// Takes the request apart by `selector`. None if it is not about any of it.
    fn split(&self, selector: &Selector) -> Option<Box<dyn Selected>>;
}

/// A request that was taken apart.
pub(super) trait Selected: std::fmt::Debug + Send {
    /// The body of a request for what is left, if there is anything.
    fn rest(&self) -> anyhow::Result<Option<Bytes>>;

    /// The frame in which what was selected failed, put into `answer`, the frame with the answer to the rest, if there is one.
    /// None if the protocol has no answer to this request.
    fn refuse(
        &self,
        error: ResponseError,
        correlation_id: i32,
        answer: Option<Bytes>,
    ) -> anyhow::Result<Option<Bytes>>;
}

#[derive(Debug)]
struct Versioned<T> {
    version: i16,
    value: T,
}

/// Decodes a request.
pub(super) fn decode<R: Refuse>(body: &Bytes, version: i16) -> anyhow::Result<Box<dyn Asked>> {
    let value = R::from_wire(body.clone(), version)?;
    Ok(Box::new(Versioned { version, value }))
}

impl<R: Refuse> Asked for Versioned<R> {
    fn split(&self, selector: &Selector) -> Option<Box<dyn Selected>> {
        let parts = self.value.split(selector)?;
        Some(Box::new(Versioned {
            version: self.version,
            value: parts,
        }))
    }
}

impl<R: Refuse> Selected for Versioned<Parts<R>> {
    fn rest(&self) -> anyhow::Result<Option<Bytes>> {
        let Some(rest) = &self.value.rest else {
            return Ok(None);
        };
        let mut body = BytesMut::new();
        rest.encode(&mut body, self.version)?;
        Ok(Some(body.freeze()))
    }

    fn refuse(
        &self,
        error: ResponseError,
        correlation_id: i32,
        answer: Option<Bytes>,
    ) -> anyhow::Result<Option<Bytes>> {
        let selected = &self.value.selected;
        if !selected.is_answered() {
            return Ok(None);
        }
        let api = ApiKey::try_from(R::KEY).map_err(|()| anyhow::anyhow!("no such API"))?;
        let mut response = R::Response::default();
        if let Some(frame) = answer {
            response = decode_answer::<R>(api, frame, self.version)?;
        }
        R::merge(&mut response, selected.refused(error, self.version));
        encode_answer(api, self.version, correlation_id, &response).map(Some)
    }
}

fn decode_answer<R: Request>(
    api: ApiKey,
    mut frame: Bytes,
    version: i16,
) -> anyhow::Result<R::Response> {
    frame.advance(LENGTH_BYTES.min(frame.len()));
    ResponseHeader::decode(&mut frame, api.response_header_version(version))
        .context("the header of the answer to the rest")?;
    R::Response::decode(&mut frame, version).context("the answer to the rest")
}
