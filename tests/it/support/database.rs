//! A database per test, cloned from a template that is made once per run.

use std::path::Path;

use secrecy::SecretString;
use tokio_postgres::{Client, NoTls};

/// The services that the launcher started.
pub(crate) struct Services {
    pub(crate) database_url: String,
    pub(crate) amqp_url: String,
}

impl Services {
    pub(crate) fn get() -> Self {
        let get = |name: &str| {
            std::env::var(name).unwrap_or_else(|_| {
                panic!("{name} is not set: run the tests with `make test`, or through deploy/local/with-services")
            })
        };
        Self {
            database_url: get("EMS_SYNC_LOCAL_DATABASE_URL"),
            amqp_url: get("EMS_SYNC_LOCAL_AMQP_URL"),
        }
    }

    /// The URL of another database on the same server.
    fn url_of(&self, database: &str) -> String {
        let (server, _) = self.database_url.rsplit_once('/').unwrap();
        format!("{server}/{database}")
    }
}

/// A connection of the test's own: the EMS.
pub(crate) async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

/// The URL of a new database with the reference EMS and schema `sync`.
pub(crate) async fn create(services: &Services) -> String {
    let admin = connect(&services.database_url).await;
    let template = template(services, &admin).await;
    let name = format!("t_{}", uuid::Uuid::new_v4().simple());
    admin
        .batch_execute(&format!("create database {name} template {template} strategy wal_log"))
        .await
        .unwrap();
    services.url_of(&name)
}

/// Makes the template unless another test has. An advisory lock serialises them, also across processes.
async fn template(services: &Services, admin: &Client) -> String {
    // Named by what goes into it, so that a kept server is not used with old content.
    let name = format!("template_{:016x}", content_hash());
    admin.execute("select pg_advisory_lock(77001)", &[]).await.unwrap();
    let exists: bool = admin
        .query_one("select exists (select 1 from pg_database where datname = $1)", &[&name])
        .await
        .unwrap()
        .get(0);
    if !exists {
        let making = format!("{name}_making");
        admin.batch_execute(&format!("drop database if exists {making}")).await.unwrap();
        admin.batch_execute(&format!("create database {making}")).await.unwrap();
        let url = services.url_of(&making);
        {
            let client = connect(&url).await;
            for (_, sql) in sql_files("sql/ems") {
                client.batch_execute(&sql).await.unwrap();
            }
        }
        let store =
            ems_sync::store::Store::new(&SecretString::from(url.clone()), "template").unwrap();
        store.migrate(None).await.unwrap();
        drop(store);
        // A template must have no connection; they end a moment after their client is dropped.
        let ended = format!(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where datname = '{making}'"
        );
        admin.batch_execute(&ended).await.unwrap();
        admin.batch_execute(&format!("alter database {making} rename to {name}")).await.unwrap();
    }
    admin.execute("select pg_advisory_unlock(77001)", &[]).await.unwrap();
    name
}

fn content_hash() -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    for folder in ["sql/ems", "sql/migrations", "sql/functions", "sql/projections"] {
        sql_files(folder).hash(&mut hasher);
    }
    hasher.finish()
}

/// The SQL files of a folder, in the order of their names.
pub(crate) fn sql_files(folder: &str) -> Vec<(String, String)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "sql"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, std::fs::read_to_string(&path).unwrap())
        })
        .collect();
    files.sort();
    files
}
