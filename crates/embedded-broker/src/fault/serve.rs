//! Serving a request while faults are set: the one place where they are consulted, before and after the API.

use std::sync::Arc;

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::ApiKey;

use super::request::Selected;
use super::rules::{Action, Fate, Rule};
use crate::api::{Context, Refused, Registration, unsupported_api_versions};
use crate::state::Shared;

/// As the API alone would serve it, but for the faults that it runs into.
pub(crate) async fn serve(
    api: &'static Registration,
    shared: Arc<Shared>,
    cx: Context,
    correlation_id: i32,
    body: Bytes,
) -> Result<Option<Bytes>, Refused> {
    let topic_id = |name: &str| shared.state.lock().topics.get(name).map(|topic| topic.id);
    let verdict = shared.faults.judge(api.key, &cx, &body, topic_id);
    let request = Faulty {
        api,
        shared,
        cx,
        correlation_id,
        body,
    };
    if verdict.waits.is_empty() {
        return request.meet(verdict.fate).await;
    }
    let life = request.life();
    // A task of its own: as in a slow Apache Kafka, what has arrived is done even if the client does not wait for it.
    let slow = tokio::spawn(async move {
        for rule in &verdict.waits {
            wait(rule).await;
        }
        // A process that was killed does nothing more, and the next one knows nothing of it.
        if life.is_none() || request.life() != life {
            return Err(Refused::Closed("the node was stopped"));
        }
        request.meet(verdict.fate).await
    });
    slow.await
        .unwrap_or(Err(Refused::Closed("the broker is stopping")))
}

async fn wait(rule: &Rule) {
    let cleared = rule.cleared.pass();
    match rule.action {
        Action::Delay(delay) => {
            // Either will do: the time is up, or the fault was cleared.
            let _which = tokio::time::timeout(delay, cleared).await;
        }
        _ => cleared.await,
    }
}

/// A request on its way into a fault.
struct Faulty {
    api: &'static Registration,
    shared: Arc<Shared>,
    cx: Context,
    correlation_id: i32,
    body: Bytes,
}

impl Faulty {
    /// Which life of its node this is.
    fn life(&self) -> Option<u64> {
        self.shared.state.lock().cluster.life(self.cx.node_id)
    }

    async fn meet(self, fate: Option<Fate>) -> Result<Option<Bytes>, Refused> {
        let Some(Fate { action, selected }) = fate else {
            return self.serve(self.body.clone()).await;
        };
        match action {
            Action::Drop => Err(Refused::Closed("a fault drops the request")),
            Action::ApplyThenDrop => {
                self.serve(self.body.clone()).await?;
                Err(Refused::Closed("a fault drops the answer"))
            }
            Action::ApplyThenError(error) => {
                let answer = self.serve(self.body.clone()).await?;
                self.refuse(error, &*selected, answer)
            }
            Action::Error(error) => {
                let rest = selected.rest().map_err(|source| self.unencodable(source))?;
                let answer = match rest {
                    Some(rest) => self.serve(rest).await?,
                    None => None,
                };
                self.refuse(error, &*selected, answer)
            }
            // These only make it wait, which it has.
            Action::Delay(_) | Action::Hold => self.serve(self.body.clone()).await,
        }
    }

    async fn serve(&self, body: Bytes) -> Result<Option<Bytes>, Refused> {
        let shared = Arc::clone(&self.shared);
        (self.api.serve)(shared, self.cx.clone(), self.correlation_id, body).await
    }

    fn refuse(
        &self,
        error: ResponseError,
        selected: &dyn Selected,
        answer: Option<Bytes>,
    ) -> Result<Option<Bytes>, Refused> {
        // A client reads this one as version 0, with what to choose from (KIP-511).
        if self.api.key == ApiKey::ApiVersions && error == ResponseError::UnsupportedVersion {
            return unsupported_api_versions(self.correlation_id).map(Some);
        }
        match selected.refuse(error, self.correlation_id, answer) {
            Ok(Some(frame)) => Ok(Some(frame)),
            Ok(None) => Err(Refused::Closed(
                "a fault fails a request that has no answer to say so",
            )),
            Err(source) => Err(self.unencodable(source)),
        }
    }

    fn unencodable(&self, source: anyhow::Error) -> Refused {
        Refused::Unencodable {
            api: self.api.key,
            version: self.cx.version,
            source,
        }
    }
}
