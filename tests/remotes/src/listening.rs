//! The door of a simulator: open, or closed in the ways in which a laptop at a venue is away.
//!
//! Every change of the door waits until it has taken effect, cuts what was connected, and keeps
//! the port: a refusing door holds it bound without listening.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use serde::{Deserialize, Serialize};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::connection;
use crate::exchange::Core;

/// Connections that the kernel may hold before they are accepted.
const BACKLOG: u32 = 1024;

/// How a server is away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Offline {
    /// Connections are refused: nothing was sent, and the client knows it.
    #[default]
    Refuse,
    /// Connections are accepted and reset at once.
    Close,
    /// Connections are accepted and nothing is ever read: the client must time out.
    Hang,
}

/// What the door is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Offline(Offline),
    Stopped,
}

/// The door of one simulator.
pub(crate) struct Listening {
    wanted: SocketAddr,
    bound: OnceLock<SocketAddr>,
    tls: Option<TlsAcceptor>,
    life: CancellationToken,
    gate: Mutex<Gate>,
}

enum Gate {
    Stopped,
    Refusing(TcpSocket),
    Listening(Doorman),
}

/// The task that accepts, what stops it, and what it leaves behind.
struct Doorman {
    stop: CancellationToken,
    task: JoinHandle<TcpListener>,
}

impl Listening {
    /// A door that is not open yet.
    pub(crate) fn new(wanted: SocketAddr, tls: Option<TlsAcceptor>) -> Self {
        Self {
            wanted,
            bound: OnceLock::new(),
            tls,
            life: CancellationToken::new(),
            gate: Mutex::new(Gate::Stopped),
        }
    }

    /// Closes the door for good, without waiting for it: the simulator is being dropped.
    pub(crate) fn abandon(&self) {
        self.life.cancel();
    }

    /// Where it is, or will be.
    pub(crate) fn address(&self) -> SocketAddr {
        self.bound.get().copied().unwrap_or(self.wanted)
    }

    /// Makes the door what is wanted, and returns when it is.
    pub(crate) async fn turn(&self, core: &Arc<Core>, door: Door) -> io::Result<()> {
        let mut gate = self.gate.lock().await;
        let listener = match std::mem::replace(&mut *gate, Gate::Stopped) {
            Gate::Stopped => None,
            Gate::Refusing(socket) if door == Door::Offline(Offline::Refuse) => {
                *gate = Gate::Refusing(socket);
                return Ok(());
            }
            Gate::Refusing(socket) => match door {
                Door::Open | Door::Offline(_) => Some(socket.listen(BACKLOG)?),
                Door::Stopped => None,
            },
            Gate::Listening(doorman) => {
                doorman.stop.cancel();
                Some(doorman.task.await.map_err(io::Error::other)?)
            }
        };
        *gate = match door {
            Door::Stopped => Gate::Stopped,
            Door::Offline(Offline::Refuse) => {
                drop(listener);
                Gate::Refusing(self.socket()?)
            }
            Door::Open => self.listen(core, listener, None)?,
            Door::Offline(how) => self.listen(core, listener, Some(how))?,
        };
        Ok(())
    }

    fn listen(
        &self,
        core: &Arc<Core>,
        listener: Option<TcpListener>,
        offline: Option<Offline>,
    ) -> io::Result<Gate> {
        let listener = match listener {
            Some(listener) => listener,
            None => self.socket()?.listen(BACKLOG)?,
        };
        let stop = self.life.child_token();
        let door = OpenDoor {
            core: Arc::clone(core),
            tls: self.tls.clone(),
            offline,
            stop: stop.clone(),
            connections: TaskTracker::new(),
        };
        Ok(Gate::Listening(Doorman { stop, task: tokio::spawn(door.accept(listener)) }))
    }

    /// A bound socket on our port, which stays ours from the first time on.
    fn socket(&self) -> io::Result<TcpSocket> {
        let address = self.address();
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let bound = socket.local_addr()?;
        self.bound.get_or_init(|| bound);
        Ok(socket)
    }
}

/// What the accepting task owns.
struct OpenDoor {
    core: Arc<Core>,
    tls: Option<TlsAcceptor>,
    offline: Option<Offline>,
    stop: CancellationToken,
    connections: TaskTracker,
}

impl OpenDoor {
    /// Accepts until it is stopped; then all its connections are cut and the listener returned.
    async fn accept(self, listener: TcpListener) -> TcpListener {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => self.admit(stream),
                Err(error) => {
                    tracing::warn!(%error, "Accepting a connection failed");
                    tokio::task::yield_now().await;
                }
            }
        }
        self.connections.close();
        self.connections.wait().await;
        listener
    }

    fn admit(&self, stream: TcpStream) {
        self.core.ledger.connected();
        let stop = self.stop.clone();
        match self.offline {
            None => {
                let core = Arc::clone(&self.core);
                let tls = self.tls.clone();
                self.connections.spawn(connection::serve(core, stream, tls, stop));
            }
            Some(Offline::Refuse | Offline::Close) => connection::reset(stream),
            Some(Offline::Hang) => {
                self.connections.spawn(async move {
                    stop.cancelled().await;
                    connection::reset(stream);
                });
            }
        }
    }
}
