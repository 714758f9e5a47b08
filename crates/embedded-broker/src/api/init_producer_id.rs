//! **InitProducerId**, key 22, versions 0-4.
//!
//! Gives an idempotent producer its producer id (KIP-98): one that nobody else has, epoch 0.

use std::ops::RangeInclusive;

use kafka_protocol::messages::{ApiKey, InitProducerIdRequest, InitProducerIdResponse, ProducerId};

use super::{Api, Context, Outcome};
use crate::state::State;

pub(super) struct InitProducerId;

impl Api for InitProducerId {
    const KEY: ApiKey = ApiKey::InitProducerId;
    const VERSIONS: RangeInclusive<i16> = 0..=4;
    type Request = InitProducerIdRequest;
    type Response = InitProducerIdResponse;

    fn handle(
        state: &mut State,
        _: &Context,
        _: &mut InitProducerIdRequest,
    ) -> Outcome<InitProducerIdResponse> {
        let id = ProducerId(state.new_producer_id());
        Outcome::Reply(
            InitProducerIdResponse::default()
                .with_producer_id(id)
                .with_producer_epoch(0),
        )
    }
}
