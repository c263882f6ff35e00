//! Postgres: the only module that names its driver. Statements stand one per file in `sql/queries/`, the rules
//! among them as functions in `sql/functions/`.
//!
//! No connection is held while a remote or the broker is waited for: every method takes one from the pool, runs
//! one statement or one short transaction, and gives it back.

mod audit;
mod binding;
mod budget;
mod conflicts;
mod consents;
mod dead_letters;
mod duty;
mod guard;
mod held;
mod hooks;
pub mod inbound;
mod inbox;
mod keys;
mod listen;
mod lookup;
mod migrate;
mod outbox;
mod projections;
mod pulled;
mod records;
mod removals;
mod session;
mod status;
mod sweep;
mod targets;
mod to_read;
mod verify;
mod walks;

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use secrecy::{ExposeSecret as _, SecretString};
use session::{Session, Suspicion};
use tokio::time::timeout;
use tokio_postgres::Socket;
use tokio_postgres::config::TargetSessionAttrs;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

pub use audit::{AuditEvent, WholeTarget};
pub use binding::BindingFacts;
pub use conflicts::{Adopted, Conflict, ConflictFilter};
pub use consents::{ConsentRefused, ConsentsDecided, ConsentsTaken};
pub use dead_letters::{DeadLetter, Filter, OddMessage, Replayable, Replayed};
pub use duty::{Duty, DutyLease};
pub use guard::{DecidedHold, DeleteVerdict, Guarded, Weighed};
pub use held::{HeldCount, HeldDecided, HeldItem, HeldKind, HeldNow, HoldDecision};
pub use inbox::{InboxRef, PutOff, Stand};
pub use keys::{MatchKey, MatchKeys};
pub use listen::{Listener, Wake};
pub use migrate::Migrated;
pub use projections::Projection;
pub use pulled::{InboundCounts, InboundOf, NotTaken};
pub use records::{AttemptRecord, FinishReport};
pub use removals::RemovalsWeighed;
pub use status::{AttemptRow, DutyRow, OpenDeadLetter, Projected, RecordRow, StateCount};
pub use sweep::{Chunk, SweepWatermark};
pub use targets::{
    BreakerState, Change, Heard, Moment, Standings, TargetListener, TargetState, TargetVoice,
};
pub use to_read::ToRead;
pub use verify::{Found, VerifyRecord};
pub use walks::{Missing, PageToStore, StoredPage, WalkBegun, WalkEnd, WalksDue};

use crate::limits;

type Tls = <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream;

/// What can go wrong with Postgres.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// `database.url` can't be read. Its text is not kept: it holds a password.
    #[error("`database.url` is not a Postgres URL")]
    Url,
    /// TLS to the database can't be set up.
    #[error("TLS to the database can't be set up")]
    Tls(#[source] rustls::Error),
    /// No connection from the pool.
    #[error("No database connection")]
    Pool(#[from] deadpool_postgres::PoolError),
    /// The pool can't be built.
    #[error("The connection pool can't be built")]
    Build(#[from] deadpool_postgres::BuildError),
    /// The database refused a statement. Its `DETAIL` is left out: it quotes rows.
    #[error("Database error {code}: {message}")]
    Database {
        /// The SQLSTATE.
        code: String,
        /// The primary message.
        message: String,
    },
    /// The connection failed.
    #[error("The database connection failed")]
    Connection(#[source] tokio_postgres::Error),
    /// A statement was not answered in time, nor refused: a backend that hangs, or a dead network. It may have been
    /// carried out.
    #[error("The database did not answer in time")]
    NoAnswer,
    /// Migrations could not be applied.
    #[error("Migrations can't be applied")]
    Migration(#[source] refinery::Error),
    /// A row has not the form that this version expects.
    #[error("Unexpected database content: {0}")]
    Unexpected(&'static str),
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        match error.as_db_error() {
            Some(db) => Self::Database {
                code: db.code().code().to_owned(),
                message: db.message().to_owned(),
            },
            None => Self::Connection(error),
        }
    }
}

impl StoreError {
    /// Whether the same transaction may succeed when it is run again: it lost a deadlock, a serialisation race
    /// or a lock's time-out.
    #[must_use]
    pub fn lost_a_race(&self) -> bool {
        let codes = [
            SqlState::T_R_DEADLOCK_DETECTED,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::LOCK_NOT_AVAILABLE,
        ];
        matches!(self, Self::Database { code, .. } if codes.iter().any(|c| c.code() == code))
    }

    /// Whether values could not be taken: data exceptions (22), violated constraints (23), or a function that says so (P0001).
    /// Anything else is no fault of what was to be written.
    #[must_use]
    pub fn is_of_values(&self) -> bool {
        let of_values =
            |code: &str| code.starts_with("22") || code.starts_with("23") || code == "P0001";
        matches!(self, Self::Database { code, .. } if of_values(code))
    }

    /// Whether a text that was given is none that the database takes: a character that its encoding has not (SQLSTATE 22021), or that
    /// JSON can't hold (22P05).
    #[must_use]
    pub fn is_of_given_value(&self) -> bool {
        matches!(self, Self::Database { code, .. } if code == "22021" || code == "22P05")
    }

    /// Whether the server is away, starting, stopping or a standby, so that the same may succeed later without
    /// anybody's help.
    #[must_use]
    pub fn is_outage(&self) -> bool {
        // 57P01 to 57P03: the server stops or starts; 53300: too many connections; 25006: it only reads.
        let passes = |code: &str| code.starts_with("57P") || code == "53300" || code == "25006";
        match self {
            Self::Connection(_)
            | Self::NoAnswer
            | Self::Pool(deadpool_postgres::PoolError::Timeout(_)) => true,
            Self::Database { code, .. } => passes(code),
            Self::Pool(deadpool_postgres::PoolError::Backend(error)) => {
                error.as_db_error().is_none_or(|db| passes(db.code().code()))
            }
            Self::Pool(_)
            | Self::Url
            | Self::Tls(_)
            | Self::Build(_)
            | Self::Migration(_)
            | Self::Unexpected(_) => false,
        }
    }

    /// Whether schema `sync` is missing or older than this program.
    #[must_use]
    pub fn needs_migration(&self) -> bool {
        let codes = [
            SqlState::UNDEFINED_TABLE,
            SqlState::UNDEFINED_FUNCTION,
            SqlState::INVALID_SCHEMA_NAME,
            SqlState::UNDEFINED_COLUMN,
        ];
        matches!(self, Self::Database { code, .. } if codes.iter().any(|c| c.code() == code))
    }
}

/// The database, behind a pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    suspicion: Suspicion,
    connector: Connector,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

/// How a connection of our own is made, outside the pool.
#[derive(Clone)]
struct Connector {
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
}

impl Store {
    /// A store on the database at `url`. Connects lazily.
    ///
    /// # Errors
    /// [`StoreError`] when the URL or the TLS set-up can't be used.
    pub fn new(url: &SecretString, role: &str) -> Result<Self, StoreError> {
        let mut config: tokio_postgres::Config =
            url.expose_secret().parse().map_err(|_| StoreError::Url)?;
        let options = session_options(config.get_options());
        config
            .application_name(format!("ems-sync {role}"))
            .connect_timeout(limits::BROKER_CONNECT_TIMEOUT)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            .tcp_user_timeout(Duration::from_secs(9))
            // A standby is no place to work: of several hosts the primary is taken, and one alone is waited for.
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .options(options);
        let tls = MakeRustlsConnect::new(tls_config()?);
        let manager = Manager::from_config(
            config.clone(),
            tls.clone(),
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let suspicion = Suspicion::default();
        let pool = Pool::builder(manager)
            .pre_recycle(suspicion.hook())
            .max_size(limits::POOL_CONNECTIONS)
            .runtime(Runtime::Tokio1)
            .wait_timeout(Some(limits::POOL_WAIT))
            .create_timeout(Some(limits::POOL_WAIT))
            .recycle_timeout(Some(limits::POOL_WAIT))
            .build()?;
        Ok(Self { pool, suspicion, connector: Connector { config, tls } })
    }

    async fn client(&self) -> Result<Session, StoreError> {
        Session::take(&self.pool, &self.suspicion).await
    }

    /// A connection outside the pool, and its driver.
    async fn connect(
        &self,
    ) -> Result<(tokio_postgres::Client, tokio_postgres::Connection<Socket, Tls>), StoreError> {
        // The driver bounds the TCP connection only: a server that accepts and then hangs would hold us for ever.
        let connect = self.connector.config.connect(self.connector.tls.clone());
        Ok(timeout(limits::POOL_WAIT, connect).await.map_err(|_| StoreError::NoAnswer)??)
    }

    /// A connection of our own, with its driver running in the background until it is dropped.
    async fn own_client(&self) -> Result<tokio_postgres::Client, StoreError> {
        let (client, connection) = self.connect().await?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %StoreError::from(error), "A database connection ended");
            }
        });
        Ok(client)
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// [`StoreError`] when it does not.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.client().await?.simple_query("select 1").await?;
        Ok(())
    }
}

/// Runs `work` again while it loses races, a bounded number of times.
async fn retrying<T, F>(mut work: impl FnMut() -> F) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut tries = 1;
    loop {
        match work().await {
            Err(error) if error.lost_a_race() && tries < limits::TRANSACTION_TRIES_MAX => {
                tracing::debug!(error = %error, tries, "A transaction lost a race and is run again");
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 20)).await;
                tries += 1;
            }
            result => return result,
        }
    }
}

/// What every session of ours sets, besides what the URL says.
fn session_options(given: Option<&str>) -> String {
    let millis = |duration: Duration| duration.as_millis();
    format!(
        "{} -c timezone=UTC -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
         -c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 -c tcp_user_timeout=9000",
        given.unwrap_or_default(),
        millis(limits::STATEMENT_TIMEOUT),
        millis(limits::LOCK_TIMEOUT),
        millis(limits::IDLE_IN_TRANSACTION_TIMEOUT),
    )
}

fn tls_config() -> Result<rustls::ClientConfig, StoreError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(StoreError::Tls)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
