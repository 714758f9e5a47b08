//! **AddOffsetsToTxn**, key 25, versions 0-3.
//!
//! Adds a group's offsets to the producer's transaction, before it commits them with TxnOffsetCommit.
//!
//! - Left out: version 4, whose client knows version 2 of the protocol (KIP-890).

use std::ops::RangeInclusive;

use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{AddOffsetsToTxnRequest, AddOffsetsToTxnResponse, ApiKey};

use super::{Api, Context, Outcome, code};
use crate::state::State;
use crate::transaction::{self, Participant, ProducerIdAndEpoch};

/// From this version on clients know PRODUCER_FENCED.
const FIRST_VERSION_WITH_FENCED: i16 = 2;

pub(super) struct AddOffsetsToTxn;

impl Api for AddOffsetsToTxn {
    const KEY: ApiKey = ApiKey::AddOffsetsToTxn;
    const VERSIONS: RangeInclusive<i16> = 0..=3;
    type Request = AddOffsetsToTxnRequest;
    type Response = AddOffsetsToTxnResponse;

    fn handle(
        state: &mut State,
        cx: &Context,
        request: &mut AddOffsetsToTxnRequest,
    ) -> Outcome<AddOffsetsToTxnResponse> {
        let added = add(state, cx, request);
        Outcome::Reply(AddOffsetsToTxnResponse::default().with_error_code(code(&added)))
    }
}

fn add(
    state: &mut State,
    cx: &Context,
    request: &AddOffsetsToTxnRequest,
) -> Result<(), ResponseError> {
    let id = &request.transactional_id;
    transaction::check_coordinator(&state.cluster, cx, id)?;
    let producer = ProducerIdAndEpoch {
        id: request.producer_id.0,
        epoch: request.producer_epoch,
    };
    let group = Participant::Group(request.group_id.to_string());
    state
        .transactions
        .add(id, producer, [group], cx.now, &mut state.timers)
        .map_err(|error| {
            transaction::error_before_fenced(error, cx.version, FIRST_VERSION_WITH_FENCED)
        })
}
