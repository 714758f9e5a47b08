//! Bytes that no client sends on purpose.

use kafka_protocol::messages::{
    ApiKey, FindCoordinatorRequest, InitProducerIdRequest, MetadataRequest,
};

use crate::support::group::{JOIN, Member, SYNC};
use crate::support::raw::{RawClient, frame, request_frame};
use crate::support::records::{Batch, decode, values};
use crate::support::topic::{
    FETCH_BY_NAME, PRODUCE, Topic, append, fetch, fetch_partition, fetch_request,
    list_offsets_request, produce_request,
};

/// The same numbers in every run (xorshift64*): a frame that does harm can be sent again.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }
}

/// "200 random or truncated frames leave the broker serving": each on a connection of its own, all open at once.
#[tokio::test]
async fn frames_of_noise_leave_the_broker_serving() {
    let topic = Topic::create(1).await;
    let member = Member::stranger("hostile").await;
    let valid = [
        request_frame(
            PRODUCE,
            1,
            &produce_request(&topic, 0, Batch::of(["noise"]).encode()),
        ),
        request_frame(
            FETCH_BY_NAME,
            1,
            &fetch_request(&topic, vec![fetch_partition(0, 0)]),
        ),
        request_frame(8, 1, &list_offsets_request(&topic, 0, -1)),
        request_frame(12, 1, &MetadataRequest::default().with_topics(Some(vec![]))),
        request_frame(
            2,
            1,
            &FindCoordinatorRequest::default().with_key("noise".into()),
        ),
        request_frame(
            4,
            1,
            &InitProducerIdRequest::default().with_transactional_id(None),
        ),
        request_frame(JOIN, 1, &member.join_request()),
        request_frame(SYNC, 1, &member.sync_request(&[])),
    ];
    let mut random = Random(0x5EED);
    let mut connections = Vec::new();
    for number in 0..200 {
        let request = &valid[random.below(valid.len())];
        let bytes = match number % 4 {
            // Noise behind a length that fits.
            0 => {
                let length = random.below(200);
                frame(&random.bytes(length)).to_vec()
            }
            // A header that is right, and noise behind it.
            1 => {
                let key = ApiKey::Produce as i16 + random.below(20) as i16;
                let length = random.below(200);
                let mut payload = [key.to_be_bytes(), 3_i16.to_be_bytes()].concat();
                payload.extend(random.bytes(length));
                frame(&payload).to_vec()
            }
            // A request cut short, with the length of what is left.
            2 => frame(&request[4..4 + random.below(request.len() - 4)]).to_vec(),
            // A request with the length of the whole, of which the end never comes.
            _ => request[..random.below(request.len())].to_vec(),
        };
        let mut connection = RawClient::connect().await;
        connection.write_bytes(&bytes).await;
        connections.push(connection);
    }
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["after all"])).await;
    let records = decode(fetch(&mut client, &topic, 0, 0).await.records);
    assert_eq!(values(&records), ["after all"]);
    drop(connections);
    append(&mut client, &topic, 0, &Batch::of(["and on"])).await;
}

/// A request cut at any length is refused or waited for; the next connection is served.
#[tokio::test]
async fn a_request_cut_anywhere_is_refused() {
    let topic = Topic::create(1).await;
    let whole = request_frame(
        PRODUCE,
        1,
        &produce_request(&topic, 0, Batch::of(["cut"]).encode()),
    );
    for length in 0..whole.len() - 4 {
        let mut connection = RawClient::connect().await;
        connection.write_bytes(&frame(&whole[4..4 + length])).await;
        connection.is_closed().await;
    }
    let mut client = RawClient::connect().await;
    append(&mut client, &topic, 0, &Batch::of(["whole"])).await;
    assert_eq!(
        values(&decode(fetch(&mut client, &topic, 0, 0).await.records)),
        ["whole"]
    );
}

/// Counts that promise more than the frame holds, up to i32::MAX, are not believed.
#[tokio::test]
async fn a_count_beyond_the_frame_is_refused() {
    let topic = Topic::create(1).await;
    // Metadata of version 1: the number of topics, of which none follows.
    for count in [1, 1_000, i32::MAX] {
        let mut connection = RawClient::connect().await;
        let mut payload = [ApiKey::Metadata as i16, 1].map(i16::to_be_bytes).concat();
        payload.extend(1_i32.to_be_bytes());
        payload.extend((-1_i16).to_be_bytes());
        payload.extend(count.to_be_bytes());
        connection.write_bytes(&frame(&payload)).await;
        connection.is_closed().await;
    }
    // Produce of version 9: compact counts, the same.
    let whole = request_frame(
        9,
        1,
        &produce_request(&topic, 0, Batch::of(["count"]).encode()),
    );
    let name = whole
        .windows(topic.name.len())
        .position(|bytes| bytes == topic.name.as_bytes())
        .expect("the name");
    let mut payload = whole[4..name - 2].to_vec();
    payload.extend([0xFF, 0xFF, 0xFF, 0xFF, 0x0F]);
    payload.extend(&whole[name - 1..]);
    let mut connection = RawClient::connect().await;
    connection.write_bytes(&frame(&payload)).await;
    connection.is_closed().await;
}
