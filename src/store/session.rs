//! A pooled connection in use. Every statement has a deadline of ours, since a backend that hangs, or a socket that
//! is open at one end only, never answers. A connection whose answer is outstanding, because it came too late or
//! nobody waits for it any more, is thrown away: whoever got it next would wait for that answer first.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use deadpool_postgres::{ClientWrapper, Hook, HookError, Metrics, Object, Pool};
use tokio::time::timeout;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, Statement, ToStatement};

use super::StoreError;
use crate::limits;

/// Since when connections that were made or proven before are not trusted: one of them did not answer, and what ails
/// it (a network, a server that hangs) rarely ails one alone.
#[derive(Debug, Clone, Default)]
pub(super) struct Suspicion(Arc<Mutex<Option<Instant>>>);

impl Suspicion {
    fn raise(&self) {
        if let Ok(mut since) = self.0.lock() {
            *since = Some(Instant::now());
        }
    }

    fn covers(&self, metrics: &Metrics) -> bool {
        let proven = metrics.recycled.unwrap_or(metrics.created);
        self.0.lock().is_ok_and(|since| since.is_some_and(|since| proven <= since))
    }

    /// What the pool asks before it hands out a connection that was idle: one that is suspected is not handed out,
    /// and one that was idle for long is proven by a round trip.
    pub(super) fn hook(&self) -> Hook {
        let suspicion = self.clone();
        Hook::async_fn(move |client: &mut ClientWrapper, metrics: &Metrics| {
            let suspicion = suspicion.clone();
            Box::pin(async move {
                if suspicion.covers(metrics) {
                    return Err(HookError::message("another connection did not answer"));
                }
                if metrics.last_used() < limits::POOL_IDLE_TRUSTED {
                    return Ok(());
                }
                match timeout(limits::POOL_PROOF_TIMEOUT, client.simple_query("")).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) => Err(HookError::Backend(error)),
                    Err(_) => {
                        suspicion.raise();
                        Err(HookError::message("no answer in time"))
                    }
                }
            })
        })
    }
}

/// What is known of a connection in use.
#[derive(Debug, Default)]
struct Fate {
    /// An answer is outstanding.
    busy: AtomicBool,
    /// It did not come in time.
    late: AtomicBool,
    /// The server can't do what we are here for.
    unfit: AtomicBool,
}

impl Fate {
    async fn bounded<T>(
        &self,
        call: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        self.busy.store(true, Ordering::Relaxed);
        let Ok(result) = timeout(limits::STATEMENT_DEADLINE, call).await else {
            self.late.store(true, Ordering::Relaxed);
            return Err(StoreError::NoAnswer);
        };
        self.busy.store(false, Ordering::Relaxed);
        result.map_err(|error| {
            // The primary has become a standby: a new connection finds the new one, or waits for it.
            if error.code() == Some(&SqlState::READ_ONLY_SQL_TRANSACTION) {
                self.unfit.store(true, Ordering::Relaxed);
            }
            error.into()
        })
    }

    fn is_good(&self) -> bool {
        !self.busy.load(Ordering::Relaxed) && !self.unfit.load(Ordering::Relaxed)
    }
}

/// A connection from the pool, until it is dropped.
pub(super) struct Session {
    /// Taken only by the drop.
    object: Option<Object>,
    fate: Fate,
    suspicion: Suspicion,
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.fate.late.load(Ordering::Relaxed) {
            tracing::warn!("The database did not answer in time; its connection is thrown away");
            self.suspicion.raise();
        }
        if let Some(object) = self.object.take()
            && !self.fate.is_good()
        {
            // Not given back; with it its socket is closed.
            drop(Object::take(object));
        }
    }
}

type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

impl Session {
    pub(super) async fn take(pool: &Pool, suspicion: &Suspicion) -> Result<Self, StoreError> {
        let object = Some(pool.get().await?);
        Ok(Self { object, fate: Fate::default(), suspicion: suspicion.clone() })
    }

    fn client(&self) -> Result<&ClientWrapper, StoreError> {
        self.object.as_deref().ok_or(StoreError::NoAnswer)
    }

    pub(super) async fn prepare_cached(&self, sql: &str) -> Result<Statement, StoreError> {
        self.fate.bounded(self.client()?.prepare_cached(sql)).await
    }

    pub(super) async fn query<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.fate.bounded(self.client()?.query(statement, parameters)).await
    }

    pub(super) async fn query_one<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<Row, StoreError> {
        self.fate.bounded(self.client()?.query_one(statement, parameters)).await
    }

    pub(super) async fn query_opt<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, StoreError> {
        self.fate.bounded(self.client()?.query_opt(statement, parameters)).await
    }

    pub(super) async fn execute<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        self.fate.bounded(self.client()?.execute(statement, parameters)).await
    }

    pub(super) async fn simple_query(
        &self,
        sql: &str,
    ) -> Result<Vec<SimpleQueryMessage>, StoreError> {
        self.fate.bounded(self.client()?.simple_query(sql)).await
    }

    pub(super) async fn transaction(&mut self) -> Result<Transaction<'_>, StoreError> {
        let Some(object) = self.object.as_deref_mut() else { return Err(StoreError::NoAnswer) };
        let fate = &self.fate;
        Ok(Transaction { inner: fate.bounded(object.transaction()).await?, fate })
    }
}

/// A transaction or a savepoint; rolled back unless it is committed.
pub(super) struct Transaction<'a> {
    inner: deadpool_postgres::Transaction<'a>,
    fate: &'a Fate,
}

impl Transaction<'_> {
    pub(super) async fn prepare_cached(&self, sql: &str) -> Result<Statement, StoreError> {
        self.fate.bounded(self.inner.prepare_cached(sql)).await
    }

    pub(super) async fn query<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.fate.bounded(self.inner.query(statement, parameters)).await
    }

    pub(super) async fn query_one<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<Row, StoreError> {
        self.fate.bounded(self.inner.query_one(statement, parameters)).await
    }

    pub(super) async fn execute<S: ToStatement + Sync + ?Sized>(
        &self,
        statement: &S,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        self.fate.bounded(self.inner.execute(statement, parameters)).await
    }

    pub(super) async fn batch_execute(&self, sql: &str) -> Result<(), StoreError> {
        self.fate.bounded(self.inner.batch_execute(sql)).await
    }

    pub(super) async fn savepoint(&mut self, name: &str) -> Result<Transaction<'_>, StoreError> {
        let fate = self.fate;
        Ok(Transaction { inner: fate.bounded(self.inner.savepoint(name)).await?, fate })
    }

    pub(super) async fn commit(self) -> Result<(), StoreError> {
        self.fate.bounded(self.inner.commit()).await
    }

    pub(super) async fn rollback(self) -> Result<(), StoreError> {
        self.fate.bounded(self.inner.rollback()).await
    }
}
