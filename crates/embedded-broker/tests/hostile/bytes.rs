//! Bytes that are no requests.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::server::Server;
use crate::support::raw::frame;
use crate::support::wait::{DEADLINE, within};

const LONGEST: i32 = 100 << 20;

/// Holds when the broker closes the connection without a word.
async fn is_closed(connection: &mut TcpStream) {
    let mut rest = Vec::new();
    let read = connection.read_to_end(&mut rest);
    let read = within(DEADLINE, "the end of the connection", read).await;
    // A reset is how a socket closed with unread input says goodbye.
    if let Err(error) = read {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    assert!(rest.is_empty(), "the broker answered: {rest:?}");
}

#[tokio::test]
async fn lengths_that_no_frame_has_end_the_connection() {
    let server = Server::start();
    let witness = server.witness().await;
    for length in [i32::MAX, LONGEST + 1, 7, 0, -1, i32::MIN] {
        let mut connection = server.connect().await;
        connection.write_i32(length).await.expect("write");
        is_closed(&mut connection).await;
    }
    // Nothing but Produce, whose key is 0, may be as long as that.
    let mut connection = server.connect().await;
    connection.write_i32(LONGEST).await.expect("write");
    connection.write_i16(3).await.expect("write");
    is_closed(&mut connection).await;
    witness.was_served().await;
    server.end();
}

#[tokio::test]
async fn a_length_takes_no_memory_before_the_bytes_come() {
    let server = Server::start();
    let witness = server.witness().await;
    let before = server.resident();
    let mut connections = Vec::new();
    for _ in 0..100 {
        let mut connection = server.connect().await;
        connection.write_i32(LONGEST).await.expect("write");
        connection.write_all(&[0; 1_000]).await.expect("write");
        connections.push(connection);
    }
    // One more that is closed has been read, and so have those before it.
    let mut closed = server.connect().await;
    closed.write_i32(-1).await.expect("write");
    is_closed(&mut closed).await;
    let grown = server.resident() - before;
    println!("100 announcements of 100 MiB take {grown} MiB");
    assert!(grown <= 32, "they take {grown} MiB");
    witness.was_served().await;
    server.end();
}

#[tokio::test]
async fn noise_leaves_the_broker_serving() {
    let server = Server::start();
    let witness = server.witness().await;
    let files = server.open_files();
    let mut random = fastrand::Rng::with_seed(0x5EED);
    let mut connections = Vec::new();
    for number in 0..600 {
        let mut noise = vec![0; random.usize(..2_000)];
        random.fill(&mut noise);
        // Half of it is framed, and of that half names an API.
        if number % 4 == 0 && noise.len() > 4 {
            noise[..2].copy_from_slice(&random.i16(..80).to_be_bytes());
            noise[2..4].copy_from_slice(&random.i16(..18).to_be_bytes());
        }
        if number % 2 == 0 {
            noise = frame(&noise).to_vec();
        }
        let mut connection = server.connect().await;
        // It may have been closed after the first bytes.
        let _closed = connection.write_all(&noise).await;
        connections.push(connection);
    }
    drop(connections);
    server.gives_up_connections(files).await;
    witness.was_served().await;
    let peak = server.peak();
    assert!(peak <= 100, "{peak} MiB");
    server.comes_to_rest().await;
    server.end();
}
