//! Who asks how long the queues are holds up nobody who publishes.

use std::sync::Arc;

use ems_sync::broker::{Broker, Outgoing, Publisher, Queue};
use ems_sync::delivery::{Cause, Delivery};
use ems_sync::entity::{EntityRef, EntityType};
use ems_sync::target::Target;
use jiff::Timestamp;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::support::database::Services;
use crate::support::rig::PATIENCE;

/// Type, channel and size before what a frame holds, and its end.
const FRAME_HEAD: usize = 7;
const FRAME_END: usize = 1;
/// What a client says before its first frame.
const GREETING: usize = 8;

/// Whether a frame asks for a queue that is to be there: `queue.declare` (50, 10) with its first bit, `passive`, set.
fn asks_for_a_queue(frame: &[u8]) -> bool {
    let is_method = frame[0] == 1;
    let content = &frame[FRAME_HEAD..];
    if !is_method || content.len() < 8 || content[..4] != [0, 50, 0, 10] {
        return false;
    }
    let name = usize::from(content[6]);
    content[7 + name] & 1 == 1
}

/// Passes on what a client says, but for the questions for queues, which it counts.
async fn pass(
    mut client: impl AsyncRead + Unpin,
    mut broker: impl AsyncWrite + Unpin,
    swallowed: watch::Sender<usize>,
) -> std::io::Result<()> {
    let mut greeting = [0; GREETING];
    client.read_exact(&mut greeting).await?;
    broker.write_all(&greeting).await?;
    loop {
        let mut frame = vec![0; FRAME_HEAD];
        client.read_exact(&mut frame).await?;
        let size = u32::from_be_bytes(frame[3..].try_into().expect("four bytes"));
        frame.resize(FRAME_HEAD + size as usize + FRAME_END, 0);
        client.read_exact(&mut frame[FRAME_HEAD..]).await?;
        if asks_for_a_queue(&frame) {
            swallowed.send_modify(|n| *n += 1);
        } else {
            broker.write_all(&frame).await?;
        }
    }
}

/// The broker, but that it never answers how long a queue is; how often it was asked.
async fn reluctant(services: &Services) -> (String, watch::Receiver<usize>) {
    let (before, host) = services.amqp_url.rsplit_once('@').expect("a login");
    let (host, path) = host.split_once('/').map_or((host, ""), |(host, path)| (host, path));
    let (sender, receiver) = watch::channel(0);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("{before}@{}/{path}", listener.local_addr().unwrap());
    let host = host.to_owned();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let broker = TcpStream::connect(&host).await.unwrap();
            let (from_client, mut to_client) = client.into_split();
            let (mut from_broker, to_broker) = broker.into_split();
            tokio::spawn(pass(from_client, to_broker, sender.clone()));
            tokio::spawn(async move { tokio::io::copy(&mut from_broker, &mut to_client).await });
        }
    });
    (url.trim_end_matches('/').to_owned(), receiver)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_for_lengths_that_is_not_answered_holds_up_neither_a_proof_nor_publishing() {
    rustls::crypto::ring::default_provider().install_default().ok();
    let (url, mut asked) = reluctant(&Services::get()).await;
    let prefix = format!("t-{}", uuid::Uuid::new_v4().simple());
    let publisher = Arc::new(Publisher::new(Broker::new(url.into(), prefix), "test"));
    publisher.connect().await.unwrap();
    let asks = Arc::clone(&publisher);
    let mut question = tokio::spawn(async move {
        let queues: Vec<_> = Queue::all().into_iter().collect();
        asks.queue_lengths(&queues).await
    });
    tokio::time::timeout(PATIENCE, asked.wait_for(|n| *n > 0)).await.expect("asks").unwrap();

    let entity = EntityRef::new(EntityType::Person, 1);
    let queue = Queue::outbound(Target::TagServer);
    let delivery = Delivery::new(Target::TagServer, entity, Cause::Change, Timestamp::now());
    let meanwhile = async {
        publisher.prove().await.unwrap();
        publisher.publish(&[Outgoing { queue, delivery }]).await.unwrap();
    };
    tokio::select! {
        answer = &mut question => panic!("nothing came before {answer:?}"),
        () = meanwhile => {}
    }

    // It fails for itself, and not for the connection.
    let answer = tokio::time::timeout(PATIENCE, question).await.expect("is given up").unwrap();
    assert!(answer.is_err(), "{answer:?}");
    publisher.prove().await.unwrap();
    assert!(publisher.is_connected());
}
