//! One connection: HTTP/1.1, plain or over TLS, which a fault may close or reset at any moment.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::exchange::{self, Core};

/// Whether the connection ends with a reset instead of an orderly close.
#[derive(Debug, Default)]
pub(crate) struct Ending(AtomicBool);

impl Ending {
    /// From now on, closing means resetting.
    pub(crate) fn reset(&self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Resets a connection at once.
pub(crate) fn reset(stream: TcpStream) {
    let ending = Arc::new(Ending::default());
    ending.reset();
    drop(Socket { stream, ending });
}

/// Serves requests until the client closes, a fault does, or `stop` cuts the connection.
pub(crate) async fn serve(
    core: Arc<Core>,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
) {
    // A connection without this option is only slower.
    drop(stream.set_nodelay(true));
    let ending = Arc::new(Ending::default());
    let socket = Socket { stream, ending: Arc::clone(&ending) };
    let served = async {
        match tls {
            None => speak(core, socket, &ending).await,
            Some(tls) => match tls.accept(socket).await {
                Ok(stream) => speak(core, stream, &ending).await,
                Err(error) => tracing::debug!(%error, "A TLS handshake failed"),
            },
        }
    };
    tokio::select! {
        biased;
        () = stop.cancelled() => ending.reset(),
        () = served => {}
    }
}

async fn speak<S>(core: Arc<Core>, stream: S, ending: &Arc<Ending>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service =
        service_fn(|request| exchange::handle(Arc::clone(&core), Arc::clone(ending), request));
    let served = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "A connection ended early");
    }
}

/// A TCP stream that resets when it is dropped, if its `ending` says so.
struct Socket {
    stream: TcpStream,
    ending: Arc<Ending>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        if self.ending.0.load(Ordering::Acquire) {
            // If it cannot be reset, it is closed: also without an answer.
            drop(self.stream.set_zero_linger());
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
