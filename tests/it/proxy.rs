//! The proxy itself: tests that stand on it prove nothing unless it fails as it says.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::support::proxy::{Flow, Proxy, Toxics, Way};

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(30);
/// Long enough to believe that nothing happens.
const NOTHING: Duration = Duration::from_millis(150);

/// What a server saw of its connections.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Bytes(Vec<u8>),
    Closed,
    Reset,
}

/// Answers every read with the same bytes, and tells what it saw.
async fn echo() -> (String, mpsc::UnboundedReceiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tell, seen) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                loop {
                    match stream.read(&mut buffer).await {
                        Ok(0) => {
                            tell.send(Seen::Closed).ok();
                            return;
                        }
                        Ok(n) => {
                            tell.send(Seen::Bytes(buffer[..n].to_vec())).ok();
                            stream.write_all(&buffer[..n]).await.ok();
                        }
                        Err(_) => {
                            tell.send(Seen::Reset).ok();
                            return;
                        }
                    }
                }
            });
        }
    });
    (address, seen)
}

async fn connect(proxy: &Proxy) -> TcpStream {
    TcpStream::connect(proxy.address()).await.unwrap()
}

/// Sends, and reads as much back.
async fn round_trip(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    stream.write_all(bytes).await?;
    let mut back = vec![0; bytes.len()];
    timeout(PATIENCE, stream.read_exact(&mut back)).await.expect("an answer")?;
    Ok(back)
}

async fn next(seen: &mut mpsc::UnboundedReceiver<Seen>) -> Seen {
    timeout(PATIENCE, seen.recv()).await.expect("is seen").unwrap()
}

/// The error of the next read.
async fn broken(stream: &mut TcpStream) -> std::io::ErrorKind {
    let mut buffer = [0; 64];
    loop {
        match timeout(PATIENCE, stream.read(&mut buffer)).await.expect("ends") {
            Ok(0) => panic!("closed in order"),
            Ok(_) => {}
            Err(error) => return error.kind(),
        }
    }
}

async fn is_silent(stream: &mut TcpStream) -> bool {
    timeout(NOTHING, stream.read(&mut [0; 64])).await.is_err()
}

#[tokio::test]
async fn what_is_sent_passes_and_an_orderly_end_too() {
    let (server, mut seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    let mut stream = connect(&proxy).await;
    assert_eq!(round_trip(&mut stream, b"hello").await.unwrap(), b"hello");
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"hello".to_vec()));
    stream.shutdown().await.unwrap();
    assert_eq!(next(&mut seen).await, Seen::Closed);
    assert_eq!(timeout(PATIENCE, stream.read(&mut [0; 8])).await.unwrap().unwrap(), 0);
    assert_eq!((proxy.connections(), proxy.passed(Way::ToServer)), (1, 5));
}

#[tokio::test]
async fn a_url_is_led_through_it_with_everything_but_its_server() {
    let (server, _seen) = echo().await;
    let (proxy, url) = Proxy::to_url(&format!("amqp://u:p@{server}/%2f?x=1")).await;
    assert_eq!(url, format!("amqp://u:p@{}/%2f?x=1", proxy.address()));
    let (proxy, url) = Proxy::to_url(&format!("http://{server}")).await;
    assert_eq!(url, format!("http://{}", proxy.address()));
}

#[tokio::test]
async fn a_swallowed_direction_leaves_both_ends_half_open() {
    let (server, mut seen) = echo().await;
    let mut proxy = Proxy::to(&server).await;
    let mut old = connect(&proxy).await;
    round_trip(&mut old, b"a").await.unwrap();
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"a".to_vec()));

    proxy.set(Way::ToServer, Toxics::flow(Flow::Swallow));
    let mut new = connect(&proxy).await;
    for stream in [&mut old, &mut new] {
        stream.write_all(b"lost").await.unwrap();
        assert!(is_silent(stream).await);
    }
    assert!(seen.try_recv().is_err(), "nothing arrives");

    // What has lost bytes stays lost; who comes now is served.
    proxy.heal();
    old.write_all(b"late").await.unwrap();
    assert!(is_silent(&mut old).await);
    let mut fresh = connect(&proxy).await;
    assert_eq!(round_trip(&mut fresh, b"b").await.unwrap(), b"b");
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"b".to_vec()));

    // The server of a hole hears of its client's end from its keepalives only.
    let gone = Instant::now();
    drop(old);
    assert_eq!(next(&mut seen).await, Seen::Reset);
    assert!(gone.elapsed() > Duration::from_secs(10));
}

#[tokio::test]
async fn stranded_connections_are_holes_and_later_ones_are_not() {
    let (server, _seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    let mut old = connect(&proxy).await;
    round_trip(&mut old, b"a").await.unwrap();
    proxy.strand_all();
    old.write_all(b"b").await.unwrap();
    assert!(is_silent(&mut old).await);
    assert_eq!(round_trip(&mut connect(&proxy).await, b"c").await.unwrap(), b"c");
}

#[tokio::test]
async fn a_held_direction_delivers_later_and_loses_nothing() {
    let (server, mut seen) = echo().await;
    let mut proxy = Proxy::to(&server).await;
    let mut stream = connect(&proxy).await;
    proxy.set(Way::ToClient, Toxics::flow(Flow::Hold));
    stream.write_all(b"a").await.unwrap();
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"a".to_vec()));
    assert!(is_silent(&mut stream).await);
    proxy.heal();
    assert_eq!(round_trip(&mut stream, b"b").await.unwrap(), b"a");
}

#[tokio::test]
async fn a_reset_reaches_both_ends_and_later_connections_live() {
    let (server, mut seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    let mut stream = connect(&proxy).await;
    round_trip(&mut stream, b"a").await.unwrap();
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"a".to_vec()));
    proxy.reset_all();
    assert_eq!(broken(&mut stream).await, std::io::ErrorKind::ConnectionReset);
    assert_eq!(next(&mut seen).await, Seen::Reset);
    round_trip(&mut connect(&proxy).await, b"b").await.unwrap();
}

#[tokio::test]
async fn a_connection_is_reset_after_so_many_bytes() {
    let (server, mut seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    proxy.set(Way::ToServer, Toxics { reset_after: Some(3), ..Toxics::default() });
    let mut stream = connect(&proxy).await;
    stream.write_all(b"abcdef").await.unwrap();
    assert_eq!(broken(&mut stream).await, std::io::ErrorKind::ConnectionReset);
    let first = next(&mut seen).await;
    // A RST may overtake the bytes before it, and never lets through those behind.
    assert!(first == Seen::Bytes(b"abc".to_vec()) || first == Seen::Reset, "{first:?}");
    assert_eq!(proxy.passed(Way::ToServer), 3);
}

#[tokio::test]
async fn refused_connections_are_refused_by_the_kernel_and_old_ones_live_on() {
    let (server, _seen) = echo().await;
    let mut proxy = Proxy::to(&server).await;
    let mut old = connect(&proxy).await;
    round_trip(&mut old, b"a").await.unwrap();
    proxy.refuse().await;
    let refused = TcpStream::connect(proxy.address()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    round_trip(&mut old, b"b").await.unwrap();
    proxy.accept();
    round_trip(&mut connect(&proxy).await, b"c").await.unwrap();
}

#[tokio::test]
async fn delay_and_slices_slow_down_and_change_no_byte() {
    let (server, mut seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    let pause = Duration::from_millis(5);
    let slices = Some((100, pause));
    let delay = Duration::from_millis(50);
    proxy.set(Way::ToServer, Toxics { delay, slices, ..Toxics::default() });
    let mut stream = connect(&proxy).await;
    let sent: Vec<u8> = (0..2_000).map(|n| (n % 251) as u8).collect();
    let began = Instant::now();
    assert_eq!(round_trip(&mut stream, &sent).await.unwrap(), sent);
    assert!(began.elapsed() >= delay + pause * 19, "{:?}", began.elapsed());
    let first = next(&mut seen).await;
    assert!(matches!(&first, Seen::Bytes(bytes) if bytes.len() < sent.len()), "in one piece");
}

#[tokio::test]
async fn a_held_request_is_delivered_after_its_client_has_gone() {
    let (server, mut seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    let mut held = proxy.hold_next(|piece| piece.starts_with(b"PUT "));
    let mut other = connect(&proxy).await;
    round_trip(&mut other, b"GET /").await.unwrap();
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"GET /".to_vec()));

    let mut client = connect(&proxy).await;
    client.write_all(b"PUT /").await.unwrap();
    held.caught().await;
    client.write_all(b" body").await.unwrap();
    assert!(is_silent(&mut client).await);
    drop(client);
    round_trip(&mut other, b"PUT /2").await.unwrap();
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"PUT /2".to_vec()), "only one was to be held");
    held.release();
    assert_eq!(next(&mut seen).await, Seen::Bytes(b"PUT / body".to_vec()));
    tokio::time::sleep(NOTHING).await;
    assert!(seen.try_recv().is_err(), "the server does not learn that the client has gone");
}

#[tokio::test]
async fn a_held_request_whose_client_waited_is_answered() {
    let (server, _seen) = echo().await;
    let proxy = Proxy::to(&server).await;
    let mut held = proxy.hold_next(|_| true);
    let mut client = connect(&proxy).await;
    client.write_all(b"PUT /").await.unwrap();
    held.caught().await;
    held.release();
    assert_eq!(round_trip(&mut client, b"more!").await.unwrap(), b"PUT /");
    let mut rest = [0; 5];
    timeout(PATIENCE, client.read_exact(&mut rest)).await.unwrap().unwrap();
    assert_eq!(&rest, b"more!");
}
