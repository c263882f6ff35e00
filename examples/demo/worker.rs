//! `ems-sync` itself: the program that is shown, as a child process, configured by its environment.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::environment::variable;
use crate::platforms::Platforms;
use crate::process::{self, Process, Variables};
use crate::remote::Remote;
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
    /// A worker between this database and these remotes. Starts nothing yet.
    pub(crate) fn new(
        database_url: &str,
        amqp_url: &str,
        prefix: &str,
        (tagserver, platforms): (&TagServer, &Platforms),
        folder: &Path,
    ) -> Result<Self> {
        let ops = free_address()?;
        let settings = [
            ("DATABASE__URL", database_url),
            ("BROKER__URL", amqp_url),
            ("BROKER__PREFIX", prefix),
            ("OPS__LISTEN", &ops),
            ("OPS__TOKEN", API_TOKEN),
        ];
        let mut variables: Variables = settings
            .iter()
            .map(|(key, value)| (format!("EMS_SYNC__{key}").into(), OsString::from(value)))
            .collect();
        variables.extend(target(tagserver, "", &tagserver::SETTINGS));
        for (remote, path) in platforms.all().into_iter().zip(["", "/3.0", "/rest", ""]) {
            variables.extend(target(remote, path, Platforms::settings(remote.name())));
        }
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

    /// Runs `ems-sync` with these arguments to its end, and returns what it prints. It must succeed.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<String> {
        let (code, text) = self.ask(arguments).await?;
        anyhow::ensure!(
            code == Some(0),
            "`ems-sync {}` failed ({}): {text}",
            arguments.join(" "),
            code.map_or_else(|| "by a signal".to_owned(), |code| format!("exit code {code}"))
        );
        Ok(text)
    }

    /// The same with its exit code, whatever that is.
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Result<(Option<i32>, String)> {
        let mut command = process::command(&self.program, arguments, &self.variables);
        command.stdout(Stdio::piped()).stderr(self.log_file()?);
        let output = tokio::time::timeout(PATIENCE, command.output());
        let what = || format!("`ems-sync {}`", arguments.join(" "));
        let output = output.await.with_context(what)?.with_context(what)?;
        let text = String::from_utf8(output.stdout)?;
        Ok((output.status.code(), text))
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

/// The variables of one target.
fn target(remote: &Remote, path: &str, more: &[(&str, &str)]) -> Variables {
    let base_url = format!("{}{path}", remote.base_url());
    let ca_file = remote.ca_file().to_string_lossy();
    let usual = [
        ("ENABLED", "true"),
        ("BASE_URL", base_url.as_str()),
        ("CA_FILE", &ca_file),
        // Shorter than the defaults: the remotes are on this machine, and nobody wants to watch a demo wait.
        ("TIMEOUT", "5s"),
        ("SETTLE", "1s"),
    ];
    let name = remote.name().to_uppercase();
    let variable = |(key, value): (&str, &str)| {
        (format!("EMS_SYNC__TARGETS__{name}__{key}").into(), OsString::from(value))
    };
    usual.into_iter().chain(more.iter().copied()).map(variable).collect()
}

/// A port that is free now.
fn free_address() -> Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}
