//! A TCP proxy between ems-sync and whatever it talks to, which fails as networks do: it swallows, refuses, resets,
//! delays, cuts to pieces, and keeps a request to deliver it when nobody expects it any more.
//!
//! What it does can be changed at any time, for each direction, and reaches the connections that exist already. Bytes
//! that were swallowed are lost: their connection stays a hole, as behind a firewall that has forgotten it, until one
//! end gives up; the other is told when its keepalives would have told it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// When an end whose peer has silently gone is told: 5 s idle and 3 probes of 2 s, which is what ems-sync asks
/// Postgres for.
const KEEPALIVE: Duration = Duration::from_secs(11);
const BUFFER: usize = 16 * 1024;

/// A direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    ToServer,
    ToClient,
}

impl Way {
    const fn index(self) -> usize {
        match self {
            Self::ToServer => 0,
            Self::ToClient => 1,
        }
    }
}

/// What becomes of the bytes of a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Flow {
    #[default]
    Pass,
    /// They are kept, and so is everything behind them, until they may pass: a stall.
    Hold,
    /// They are lost. Connections are still accepted: half-open for either end.
    Swallow,
}

/// What happens to one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Toxics {
    pub(crate) flow: Flow,
    /// Each piece comes this much later.
    pub(crate) delay: Duration,
    /// Cut into pieces of so many bytes, with a pause after each: little bandwidth, and nothing arrives in one read.
    pub(crate) slices: Option<(usize, Duration)>,
    /// Both ends are reset when so many bytes of one connection have passed.
    pub(crate) reset_after: Option<u64>,
}

impl Toxics {
    pub(crate) fn flow(flow: Flow) -> Self {
        Self { flow, ..Self::default() }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct State {
    toxics: [Toxics; 2],
    /// Connections that were accepted before the last reset are reset.
    resets: u64,
    /// Connections that were accepted before are holes.
    strandings: u64,
}

type Catch = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Waits for a request that is to be kept.
struct Trap {
    catch: Catch,
    caught: oneshot::Sender<()>,
    released: oneshot::Receiver<()>,
}

struct Shared {
    server: SocketAddr,
    state: watch::Sender<State>,
    traps: std::sync::Mutex<Vec<Trap>>,
    connections: AtomicUsize,
    passed: [AtomicU64; 2],
}

pub(crate) struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    /// Bound, and not listening: while nobody listens, the port stays ours and the kernel refuses.
    _reservation: TcpSocket,
    accepting: Option<JoinHandle<()>>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.reset_all();
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
        }
    }
}

/// A request that is kept, or will be.
pub(crate) struct Held {
    caught: oneshot::Receiver<()>,
    release: oneshot::Sender<()>,
}

impl Held {
    /// Waits until it is kept.
    pub(crate) async fn caught(&mut self) {
        (&mut self.caught).await.expect("the proxy lives");
    }

    /// Delivers it, whether or not its client is still there. The answer of a client that has gone is thrown away.
    pub(crate) fn release(self) {
        self.release.send(()).expect("the connection of what is held lives");
    }
}

impl Proxy {
    pub(crate) async fn to(server: &str) -> Self {
        let server = tokio::net::lookup_host(server).await.unwrap().next().unwrap();
        let reservation = bound("127.0.0.1:0".parse().unwrap());
        let shared = Arc::new(Shared {
            server,
            state: watch::Sender::new(State::default()),
            traps: std::sync::Mutex::default(),
            connections: AtomicUsize::new(0),
            passed: Default::default(),
        });
        let address = reservation.local_addr().unwrap();
        let mut proxy = Self { address, shared, _reservation: reservation, accepting: None };
        proxy.accept();
        proxy
    }

    /// A proxy to the server of a URL, and the URL through it.
    pub(crate) async fn to_url(url: &str) -> (Self, String) {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, server) = match authority.rsplit_once('@') {
            Some((user, server)) => (format!("{user}@"), server),
            None => (String::new(), authority),
        };
        let proxy = Self::to(server).await;
        let url = format!("{scheme}://{user}{}{path}", proxy.address);
        (proxy, url)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, way: Way, toxics: Toxics) {
        self.shared.state.send_modify(|state| state.toxics[way.index()] = toxics);
    }

    pub(crate) fn set_both(&self, toxics: Toxics) {
        self.shared.state.send_modify(|state| state.toxics = [toxics; 2]);
    }

    /// Nothing passes, in no connection, and nobody is told.
    pub(crate) fn black_hole(&self) {
        self.strand_all();
        self.set_both(Toxics::flow(Flow::Swallow));
    }

    /// Everything passes, and connections are accepted. Holes stay holes.
    pub(crate) fn heal(&mut self) {
        self.set_both(Toxics::default());
        self.accept();
    }

    /// The present connections become holes; new ones pass.
    pub(crate) fn strand_all(&self) {
        self.shared.state.send_modify(|state| state.strandings += 1);
    }

    /// Both ends of every present connection get a RST.
    pub(crate) fn reset_all(&self) {
        self.shared.state.send_modify(|state| state.resets += 1);
    }

    /// New connections are refused by the kernel; the present ones live on.
    pub(crate) async fn refuse(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            accepting.await.ok();
        }
    }

    pub(crate) fn accept(&mut self) {
        if self.accepting.is_none() {
            let listener = bound(self.address).listen(1024).unwrap();
            self.accepting = Some(tokio::spawn(accept(listener, Arc::clone(&self.shared))));
        }
    }

    /// Keeps the next piece to the server that `catch` recognises, and all that follows it on its connection.
    pub(crate) fn hold_next(&self, catch: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Held {
        let (caught_in, caught) = oneshot::channel();
        let (release, released) = oneshot::channel();
        let trap = Trap { catch: Box::new(catch), caught: caught_in, released };
        self.shared.traps.lock().unwrap().push(trap);
        Held { caught, release }
    }

    /// Connections that were accepted so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// Bytes that have passed so far.
    pub(crate) fn passed(&self, way: Way) -> u64 {
        self.shared.passed[way.index()].load(Ordering::Relaxed)
    }
}

fn bound(address: SocketAddr) -> TcpSocket {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseport(true).unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind(address).unwrap();
    socket
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        shared.connections.fetch_add(1, Ordering::Relaxed);
        // A task of its own, so that refusing new connections does not end it.
        tokio::spawn(connection(client, Arc::clone(&shared)));
    }
}

/// How a connection ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// This direction is through; the other may go on.
    Through,
    Reset,
}

async fn connection(mut client: TcpStream, shared: Arc<Shared>) {
    let mut state = shared.state.subscribe();
    let born = *state.borrow_and_update();
    let end = match TcpStream::connect(shared.server).await {
        Err(_) => End::Reset,
        Ok(mut server) => {
            client.set_nodelay(true).ok();
            server.set_nodelay(true).ok();
            let link = Link::new(&shared, born);
            let end = {
                let (from_client, to_client) = client.split();
                let (from_server, to_server) = server.split();
                tokio::select! {
                    _ = state.wait_for(|state| state.resets > born.resets) => End::Reset,
                    end = both(
                        link.pump(from_client, to_server, Way::ToServer),
                        link.pump(from_server, to_client, Way::ToClient),
                    ) => end,
                }
            };
            if end == End::Reset {
                server.set_zero_linger().ok();
            }
            end
        }
    };
    if end == End::Reset {
        client.set_zero_linger().ok();
    }
}

/// Both directions; a reset of one ends both.
async fn both(one: impl Future<Output = End>, other: impl Future<Output = End>) -> End {
    tokio::pin!(one, other);
    let (first, is_one) = tokio::select! {
        end = &mut one => (end, true),
        end = &mut other => (end, false),
    };
    match (first, is_one) {
        (End::Reset, _) => End::Reset,
        (End::Through, true) => other.await,
        (End::Through, false) => one.await,
    }
}

/// One connection.
struct Link<'a> {
    shared: &'a Shared,
    born: State,
    /// Bytes were lost: nothing passes any more.
    hole: AtomicBool,
    /// Its client has gone while its request was kept: what the server answers is for nobody.
    orphaned: AtomicBool,
}

impl<'a> Link<'a> {
    fn new(shared: &'a Shared, born: State) -> Self {
        Self { shared, born, hole: AtomicBool::new(false), orphaned: AtomicBool::new(false) }
    }

    async fn pump(&self, mut from: ReadHalf<'_>, mut to: WriteHalf<'_>, way: Way) -> End {
        let mut state = self.shared.state.subscribe();
        let mut buffer = vec![0; BUFFER];
        let mut passed = 0;
        loop {
            let read = from.read(&mut buffer).await;
            let toxics = self.may_pass(&mut state, way).await;
            if self.hole.load(Ordering::Relaxed) {
                match read {
                    Ok(1..) => continue,
                    Ok(0) | Err(_) => {
                        tokio::time::sleep(KEEPALIVE).await;
                        return End::Reset;
                    }
                }
            }
            let piece = match read {
                Err(_) => return End::Reset,
                Ok(0) => {
                    to.shutdown().await.ok();
                    return End::Through;
                }
                Ok(n) => &buffer[..n],
            };
            if way == Way::ToServer
                && let Some(trap) = self.trap(piece)
            {
                return self.hold(trap, piece.to_vec(), from, to).await;
            }
            if self.orphaned.load(Ordering::Relaxed) {
                continue;
            }
            match self.pass(&mut to, piece, way, toxics, &mut passed).await {
                Ok(()) => {}
                Err(_) if self.orphaned.load(Ordering::Relaxed) => {}
                Err(_) => return End::Reset,
            }
        }
    }

    /// What holds for a piece, once it is not held. Marks the hole that losing it makes.
    async fn may_pass(&self, state: &mut watch::Receiver<State>, way: Way) -> Toxics {
        let settled = state.wait_for(|state| {
            state.toxics[way.index()].flow != Flow::Hold || state.strandings > self.born.strandings
        });
        let Ok(state) = settled.await.map(|state| *state) else { return Toxics::default() };
        let toxics = state.toxics[way.index()];
        if toxics.flow == Flow::Swallow || state.strandings > self.born.strandings {
            self.hole.store(true, Ordering::Relaxed);
        }
        toxics
    }

    async fn pass(
        &self,
        to: &mut WriteHalf<'_>,
        piece: &[u8],
        way: Way,
        toxics: Toxics,
        passed: &mut u64,
    ) -> std::io::Result<()> {
        tokio::time::sleep(toxics.delay).await;
        let (size, pause) = toxics.slices.unwrap_or((BUFFER, Duration::ZERO));
        for slice in piece.chunks(size) {
            let left = toxics.reset_after.map_or(u64::MAX, |limit| limit.saturating_sub(*passed));
            let may = slice.len().min(usize::try_from(left).unwrap_or(usize::MAX));
            to.write_all(&slice[..may]).await?;
            *passed += may as u64;
            self.shared.passed[way.index()].fetch_add(may as u64, Ordering::Relaxed);
            if toxics.reset_after.is_some_and(|limit| *passed >= limit) {
                return Err(std::io::ErrorKind::ConnectionReset.into());
            }
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
        }
        Ok(())
    }

    fn trap(&self, piece: &[u8]) -> Option<Trap> {
        let mut traps = self.shared.traps.lock().unwrap();
        let index = traps.iter().position(|trap| (trap.catch)(piece))?;
        Some(traps.swap_remove(index))
    }

    /// Keeps what the client sends until it is released. The server does not learn that the client has gone.
    async fn hold(
        &self,
        trap: Trap,
        mut kept: Vec<u8>,
        mut from: ReadHalf<'_>,
        mut to: WriteHalf<'_>,
    ) -> End {
        let mut buffer = vec![0; BUFFER];
        let mut client_is_there = true;
        let Trap { caught, mut released, .. } = trap;
        caught.send(()).ok();
        loop {
            tokio::select! {
                released = &mut released => {
                    if released.is_err() {
                        return End::Reset;
                    }
                    break;
                }
                read = from.read(&mut buffer), if client_is_there => match read {
                    Ok(n @ 1..) => kept.extend_from_slice(&buffer[..n]),
                    Ok(0) | Err(_) => {
                        client_is_there = false;
                        self.orphaned.store(true, Ordering::Relaxed);
                    }
                },
            }
        }
        if to.write_all(&kept).await.is_err() {
            return End::Reset;
        }
        let passed = &self.shared.passed[Way::ToServer.index()];
        passed.fetch_add(kept.len() as u64, Ordering::Relaxed);
        if !client_is_there {
            // The other direction ends when the server closes.
            return End::Through;
        }
        loop {
            match from.read(&mut buffer).await {
                Ok(n @ 1..) if to.write_all(&buffer[..n]).await.is_ok() => {}
                Ok(0) => {
                    to.shutdown().await.ok();
                    return End::Through;
                }
                Ok(_) | Err(_) => return End::Reset,
            }
        }
    }
}
