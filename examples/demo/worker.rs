//! `ems-sync` itself: the program that is shown, as a child process, configured by its environment.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::environment::variable;
use crate::process::{self, Process, Variables};
use crate::tagserver::{self, TagServer};

const PATIENCE: Duration = Duration::from_secs(30);
pub(crate) const API_TOKEN: &str = "token-of-the-demo";

pub(crate) struct Worker {
    program: PathBuf,
    variables: Variables,
    log: PathBuf,
    ops_url: String,
    process: Option<Process>,
    http: reqwest::Client,
}

impl Worker {
    /// A worker between this database and this TagServer. Starts nothing yet.
    pub(crate) fn new(
        database_url: &str,
        amqp_url: &str,
        prefix: &str,
        tagserver: &TagServer,
        folder: &Path,
    ) -> Result<Self> {
        let ops = free_address()?;
        let ca_file = tagserver.ca_file().to_string_lossy();
        let settings = [
            ("DATABASE__URL", database_url),
            ("BROKER__URL", amqp_url),
            ("BROKER__PREFIX", prefix),
            ("OPS__LISTEN", &ops),
            ("OPS__TOKEN", API_TOKEN),
            ("TARGETS__TAGSERVER__ENABLED", "true"),
            ("TARGETS__TAGSERVER__BASE_URL", tagserver.base_url()),
            ("TARGETS__TAGSERVER__CA_FILE", &ca_file),
            ("TARGETS__TAGSERVER__USERNAME", tagserver::USER),
            ("TARGETS__TAGSERVER__PASSWORD", tagserver::PASSWORD),
            // Shorter than the defaults: TagServer is on this machine, and nobody wants to watch a demo wait.
            ("TARGETS__TAGSERVER__TIMEOUT", "5s"),
            ("TARGETS__TAGSERVER__SETTLE", "1s"),
        ];
        let mut variables: Variables = settings
            .iter()
            .map(|(key, value)| (format!("EMS_SYNC__{key}").into(), OsString::from(value)))
            .collect();
        variables.extend(variable("EMS_SYNC_LOG").map(|filter| ("EMS_SYNC_LOG".into(), filter)));
        let log = folder.join("worker.log");
        File::create(&log).with_context(|| format!("{} can't be written", log.display()))?;
        Ok(Self {
            program: process::program("ems-sync")?,
            variables,
            log,
            ops_url: format!("http://{ops}"),
            process: None,
            http: reqwest::Client::builder().no_proxy().build()?,
        })
    }

    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    pub(crate) fn ops_url(&self) -> &str {
        &self.ops_url
    }

    /// Runs `ems-sync` with these arguments to its end, and returns what it prints.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = process::command(&self.program, arguments, &self.variables);
        command.stdout(Stdio::piped()).stderr(self.log_file()?);
        let output = tokio::time::timeout(PATIENCE, command.output());
        let what = || format!("`ems-sync {}`", arguments.join(" "));
        let output = output.await.with_context(what)?.with_context(what)?;
        let text = String::from_utf8(output.stdout)?;
        anyhow::ensure!(output.status.success(), "{} failed ({}): {text}", what(), output.status);
        Ok(text)
    }

    /// Starts `ems-sync run`, waits until it is ready, and says how long that took.
    pub(crate) async fn start(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let mut command = process::command(&self.program, &["run"], &self.variables);
        command.stdout(Stdio::null()).stderr(self.log_file()?);
        self.process = Some(Process::spawn(&mut command)?);
        tokio::time::timeout(PATIENCE, self.until_ready()).await.with_context(|| {
            format!("`ems-sync run` is not ready; {}/readyz says why", self.ops_url)
        })??;
        Ok(began.elapsed())
    }

    async fn until_ready(&mut self) -> Result<()> {
        let url = format!("{}/readyz", self.ops_url);
        loop {
            let answer = self.http.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            self.ensure_alive()?;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn ensure_alive(&mut self) -> Result<()> {
        match self.process.as_mut().and_then(Process::ended) {
            Some(status) => anyhow::bail!("`ems-sync run` ended by itself: {status}"),
            None => Ok(()),
        }
    }

    /// SIGKILL: no chance to finish anything.
    pub(crate) async fn kill(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    pub(crate) async fn stop(&mut self) -> Result<()> {
        if let Some(mut process) = self.process.take() {
            let status = process.stop().await?;
            anyhow::ensure!(status.success(), "`ems-sync run` did not stop in order: {status}");
        }
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn last_words(&self) -> Vec<String> {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().map(str::to_owned).collect();
        lines.into_iter().rev().take(12).rev().collect()
    }

    fn log_file(&self) -> Result<File> {
        let file = File::options().append(true).open(&self.log);
        file.with_context(|| format!("{} can't be written", self.log.display()))
    }
}

/// A port that is free now.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
