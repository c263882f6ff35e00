//! The EMS: a fresh database with the reference tables, what its users do to it, and what the worker says of it.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};

use crate::runners::Runner;

const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(20);

pub(crate) struct Ems {
    client: Client,
    server_url: String,
    name: String,
}

/// A transaction of the EMS.
pub(crate) struct Change {
    /// Read just before the commit was sent, so a latency from here is never too short.
    pub(crate) committed_on: Timestamp,
    pub(crate) rows: u64,
    /// How long the EMS was busy with it, triggers included.
    pub(crate) took: Duration,
}

/// What is still to be done.
pub(crate) struct Backlog {
    /// Changes and records that will still be worked on.
    pub(crate) left: u64,
    /// Records that a process holds a lease on.
    pub(crate) leased: u64,
    /// The records by state, in words.
    pub(crate) states: String,
}

impl Ems {
    /// A new database on that server, with the reference EMS and nothing in it.
    pub(crate) async fn create(server_url: &str) -> Result<Self> {
        let name = format!("demo_{}", Timestamp::now().strftime("%Y%m%d_%H%M%S_%3f"));
        let server = connect(server_url).await?;
        server.batch_execute(&format!("create database {name}")).await?;
        let client = connect(&url_of(server_url, &name)?).await?;
        for sql in reference_tables()? {
            client.batch_execute(&sql).await?;
        }
        Ok(Self { client, server_url: server_url.to_owned(), name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn url(&self) -> Result<String> {
        url_of(&self.server_url, &self.name)
    }

    pub(crate) async fn drop_database(&self) -> Result<()> {
        let server = connect(&self.server_url).await?;
        server.batch_execute(&format!("drop database {} with (force)", self.name)).await?;
        Ok(())
    }

    /// Announces the event.
    pub(crate) async fn announce(&self) -> Result<Change> {
        self.begin().await?.counted(include_str!("sql/announce.sql"), &[]).await
    }

    /// Enters runners.
    pub(crate) async fn register(&self, runners: &[Runner]) -> Result<Change> {
        fn all<'a, T>(runners: &'a [Runner], field: impl Fn(&'a Runner) -> T) -> Vec<T> {
            runners.iter().map(field).collect()
        }
        let parameters: [&(dyn ToSql + Sync); 16] = [
            &all(runners, |r| r.first_name.as_str()),
            &all(runners, |r| r.last_name.as_str()),
            &all(runners, |r| r.email.as_deref()),
            &all(runners, |r| r.phone.as_deref()),
            &all(runners, |r| r.born),
            &all(runners, |r| r.gender),
            &all(runners, |r| r.language),
            &all(runners, |r| r.city),
            &all(runners, |r| r.medical),
            &all(runners, |r| r.race),
            &all(runners, |r| r.team),
            &all(runners, |r| r.shirt),
            &all(runners, |r| r.bib.as_str()),
            &all(runners, |r| r.group),
            &all(runners, |r| r.tag.as_deref()),
            &all(runners, |r| r.tag_uuid),
        ];
        self.begin().await?.counted(include_str!("sql/register.sql"), &parameters).await
    }

    /// One transaction with these statements.
    pub(crate) async fn change(&self, statements: &[&str]) -> Result<Change> {
        let mut transaction = self.begin().await?;
        for sql in statements {
            transaction.rows += self.client.execute(*sql, &[]).await.context(sql.to_string())?;
        }
        transaction.commit().await
    }

    async fn begin(&self) -> Result<Transaction<'_>> {
        let began = Instant::now();
        self.client.batch_execute("begin").await?;
        Ok(Transaction { client: &self.client, rows: 0, began })
    }

    /// Statements outside of the story: what an administrator does.
    pub(crate) async fn administer(&self, sql: &str) -> Result<()> {
        self.client.batch_execute(sql).await.with_context(|| sql.to_owned())
    }

    pub(crate) async fn query(&self, sql: &str) -> Result<Vec<Row>> {
        self.client.query(sql, &[]).await.with_context(|| sql.to_owned())
    }

    /// The one number that a statement returns.
    pub(crate) async fn number(&self, sql: &str) -> Result<i64> {
        let row = self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// The same, where it counts something.
    pub(crate) async fn count(&self, sql: &str) -> Result<u64> {
        Ok(u64::try_from(self.number(sql).await?)?)
    }

    /// The one text that a statement returns.
    pub(crate) async fn text(&self, sql: &str) -> Result<String> {
        let row = self.client.query_one(sql, &[]).await.with_context(|| sql.to_owned())?;
        Ok(row.try_get(0)?)
    }

    /// Waits until this is true. Without a deadline.
    pub(crate) async fn until(&self, condition: &str) -> Result<()> {
        while self.number(&format!("select ({condition})::int::bigint")).await? == 0 {
            tokio::time::sleep(LOOK_AGAIN_AFTER).await;
        }
        Ok(())
    }

    /// What is still to be done: in the outbox, or owed and not left to a person.
    pub(crate) async fn backlog(&self) -> Result<Backlog> {
        let row = self.client.query_one(include_str!("sql/backlog.sql"), &[]).await?;
        Ok(Backlog {
            left: u64::try_from(row.try_get::<_, i64>(0)?)?,
            leased: u64::try_from(row.try_get::<_, i64>(1)?)?,
            states: row.try_get(2)?,
        })
    }

    /// How many changes the triggers have told the worker of, ever.
    pub(crate) async fn captured(&self) -> Result<u64> {
        self.count("select coalesce(pg_sequence_last_value('sync.outbox_id_seq'), 0)").await
    }

    /// What keeps records from being synced, in words, for when something went wrong.
    pub(crate) async fn troubles(&self) -> Vec<String> {
        let sql = "
            select format('%s × %s: %s, %s, %s', count(*), entity_type, state, coalesce(state_reason, 'no reason'),
                          coalesce(max(last_error), 'no error'))
            from sync.record where owed_gen > done_gen group by entity_type, state, state_reason
            union all
            select format('%s changes in the outbox', count(*)) from sync.outbox having count(*) > 0";
        let rows = self.client.query(sql, &[]).await.unwrap_or_default();
        rows.iter().filter_map(|row| row.try_get(0).ok()).collect()
    }
}

struct Transaction<'a> {
    client: &'a Client,
    rows: u64,
    began: Instant,
}

impl Transaction<'_> {
    /// A statement that returns how many rows it wrote, then the commit.
    async fn counted(mut self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Change> {
        let row = self.client.query_one(sql, parameters).await?;
        self.rows += u64::try_from(row.try_get::<_, i64>(0)?)?;
        self.commit().await
    }

    async fn commit(self) -> Result<Change> {
        let committed_on = Timestamp::now();
        self.client.batch_execute("commit").await?;
        Ok(Change { committed_on, rows: self.rows, took: self.began.elapsed() })
    }
}

async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("Postgres can't be reached")?;
    tokio::spawn(connection);
    Ok(client)
}

/// The URL of another database on the same server.
fn url_of(server_url: &str, database: &str) -> Result<String> {
    let (server, _) = server_url.rsplit_once('/').context("The database URL names no database")?;
    Ok(format!("{server}/{database}"))
}

/// The files of `sql/ems`, in the order of their names.
fn reference_tables() -> Result<Vec<String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql/ems");
    let mut files = std::fs::read_dir(&folder)
        .and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, _>>())
        .with_context(|| format!("{} can't be read", folder.display()))?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "sql"));
    files.sort();
    files.iter().map(|file| Ok(std::fs::read_to_string(file)?)).collect()
}
