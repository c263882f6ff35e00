//! A wire between ems-sync and a simulator that keeps every byte that is sent to it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// What each connection has sent, one text per connection.
type Kept = Arc<Mutex<Vec<Vec<u8>>>>;

pub(super) struct Wiretap {
    address: SocketAddr,
    kept: Kept,
    task: JoinHandle<()>,
}

impl Drop for Wiretap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Wiretap {
    /// In front of a server of this host, by its base URL.
    pub(super) async fn before(base_url: &str) -> Self {
        let server: SocketAddr = base_url.strip_prefix("http://").unwrap().parse().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let kept = Kept::default();
        let task = tokio::spawn(accept(listener, server, Arc::clone(&kept)));
        Self { address, kept, task }
    }

    pub(super) fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Every request so far, whole: lines, headers and bodies.
    pub(super) fn requests(&self) -> String {
        let kept = self.kept.lock().unwrap();
        let texts: Vec<_> = kept.iter().map(|bytes| String::from_utf8_lossy(bytes)).collect();
        texts.join("\n")
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, kept: Kept) {
    while let Ok((client, _)) = listener.accept().await {
        tokio::spawn(connection(client, server, Arc::clone(&kept)));
    }
}

async fn connection(client: TcpStream, server: SocketAddr, kept: Kept) {
    let Ok(server) = TcpStream::connect(server).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let at = {
        let mut kept = kept.lock().unwrap();
        kept.push(Vec::new());
        kept.len() - 1
    };
    let there = async {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(n @ 1..) = from_client.read(&mut piece).await {
            kept.lock().unwrap()[at].extend_from_slice(&piece[..n]);
            if to_server.write_all(&piece[..n]).await.is_err() {
                return;
            }
        }
        to_server.shutdown().await.ok();
    };
    let back = async {
        tokio::io::copy(&mut from_server, &mut to_client).await.ok();
        to_client.shutdown().await.ok();
    };
    tokio::join!(there, back);
}
