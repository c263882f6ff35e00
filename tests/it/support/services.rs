//! Services of one test's own, for tests that stop them: the others share theirs.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use super::database::Services;

/// A launcher of local services beside the one that runs these tests. It stops when its standard input ends, so also
/// when the test fails.
pub(crate) struct PrivateServices {
    launcher: Child,
    dir: String,
    database_url: String,
    pub(crate) amqp_url: String,
}

impl PrivateServices {
    pub(crate) async fn start() -> Self {
        let mut launcher = local("with-services")
            .args(["--", "sh", "-c"])
            .arg("echo \"$EMS_SYNC_LOCAL_DIR $EMS_SYNC_LOCAL_DATABASE_URL $EMS_SYNC_LOCAL_AMQP_URL\"; exec cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(launcher.stdout.take().unwrap()).lines();
        let line = lines.next_line().await.unwrap().expect("the services start");
        let words: Vec<&str> = line.split(' ').collect();
        let [dir, database_url, amqp_url] = words[..] else { panic!("{line}") };
        let owned = str::to_owned;
        Self {
            dir: owned(dir),
            database_url: owned(database_url),
            amqp_url: owned(amqp_url),
            launcher,
        }
    }

    /// Postgres and the broker of these.
    pub(crate) fn services(&self) -> Services {
        Services { database_url: self.database_url.clone(), amqp_url: self.amqp_url.clone() }
    }

    /// `pg` or `amqp`, and what to do with it; `rabbitmqctl` and its arguments. What it says.
    pub(crate) async fn ctl(&self, arguments: &[&str]) -> String {
        let mut ctl = local("ctl");
        ctl.args(arguments).env("EMS_SYNC_LOCAL_DIR", &self.dir).stdout(Stdio::piped());
        let ended = ctl.spawn().unwrap().wait_with_output().await.unwrap();
        assert!(ended.status.success(), "ctl {arguments:?}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// How many messages this broker has delivered a second time since it was started, by its own count.
    pub(crate) async fn redelivered(&self) -> u64 {
        let sum = "lists:sum([maps:get(messages_redelivered_total, C, 0)
            || C <- maps:values(rabbit_global_counters:overview())]).";
        self.ctl(&["rabbitmqctl", "eval", sum]).await.trim().parse().unwrap()
    }

    pub(crate) async fn stop(mut self) {
        drop(self.launcher.stdin.take());
        assert!(self.launcher.wait().await.unwrap().success());
    }
}

fn local(script: &str) -> Command {
    Command::new(format!("{}/deploy/local/{script}", env!("CARGO_MANIFEST_DIR")))
}
