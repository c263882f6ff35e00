//! The control API: everything the in-process handle can do, as JSON under `/_sim/…`, for child
//! processes and the demo. It has its own port, so that it works while the remote is offline.

mod journal;
mod rows;
mod script;

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use serde_json::json;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::ControlError;
use crate::exchange::Core;
use crate::sync::lock;

/// The listener of the control API.
pub(crate) struct Control {
    wanted: SocketAddr,
    bound: OnceLock<SocketAddr>,
    serving: Mutex<Option<Serving>>,
}

struct Serving {
    stop: CancellationToken,
    task: JoinHandle<io::Result<()>>,
}

/// What the handlers share.
#[derive(Clone)]
struct Context {
    core: Arc<Core>,
    stop: CancellationToken,
}

impl Control {
    /// A control API that does not listen yet.
    pub(crate) fn new(wanted: SocketAddr) -> Self {
        Self { wanted, bound: OnceLock::new(), serving: Mutex::new(None) }
    }

    /// Where it listens, or will.
    pub(crate) fn address(&self) -> SocketAddr {
        self.bound.get().copied().unwrap_or(self.wanted)
    }

    /// Starts to serve.
    pub(crate) async fn start(&self, core: &Arc<Core>) -> io::Result<()> {
        self.stop().await;
        let address = self.address();
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_reuseaddr(true)?;
        socket.bind(address)?;
        let listener = socket.listen(64)?;
        let bound = listener.local_addr()?;
        self.bound.get_or_init(|| bound);
        let stop = CancellationToken::new();
        let router = router(Context { core: Arc::clone(core), stop: stop.clone() });
        let served =
            axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let task = tokio::spawn(served.into_future());
        *lock(&self.serving) = Some(Serving { stop, task });
        Ok(())
    }

    /// Stops, once the requests at hand are answered.
    pub(crate) async fn stop(&self) {
        let Some(serving) = lock(&self.serving).take() else { return };
        serving.stop.cancel();
        match serving.task.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "The control API failed"),
            Err(error) => tracing::error!(%error, "The control API panicked"),
        }
    }

    /// Stops without waiting.
    pub(crate) fn abandon(&self) {
        if let Some(serving) = lock(&self.serving).take() {
            serving.stop.cancel();
        }
    }
}

fn router(context: Context) -> Router {
    Router::new()
        .route("/_sim/info", get(journal::info))
        .route("/_sim/journal", get(journal::entries))
        .route("/_sim/counters", get(journal::counters))
        .route("/_sim/violations", get(journal::violations))
        .route("/_sim/overlaps", get(journal::overlaps))
        .route("/_sim/rows/{resource}", get(rows::list).post(rows::plant))
        .route("/_sim/rows/{resource}/{id}", get(rows::read).delete(rows::remove))
        .route("/_sim/acts", post(rows::act))
        .route("/_sim/wipe", post(rows::wipe))
        .route("/_sim/reimage", post(rows::reimage))
        .route("/_sim/faults", get(script::list).post(script::push).delete(script::clear))
        .route("/_sim/faults/{id}", delete(script::remove))
        .route("/_sim/offline", post(script::offline))
        .route("/_sim/secret", post(script::new_secret))
        .route("/_sim/settings", get(script::settings).post(script::change_settings))
        .with_state(context)
}

/// Why a control request was not done.
enum Failure {
    /// No such thing.
    NotFound(String),
    /// It does not fit.
    Unfit(String),
    /// The simulator itself failed.
    Broken(io::Error),
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        match error {
            ControlError::UnknownResource(_) => Self::NotFound(error.to_string()),
            ControlError::Unfit(_) => Self::Unfit(error.to_string()),
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let (status, error) = match self {
            Self::NotFound(error) => (StatusCode::NOT_FOUND, error),
            Self::Unfit(error) => (StatusCode::BAD_REQUEST, error),
            Self::Broken(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        };
        (status, axum::Json(json!({ "error": error }))).into_response()
    }
}
