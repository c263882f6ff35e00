//! Child processes that end with the demo, whatever ends it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::process::{Child, Command};

use crate::environment::variable;

/// A worker finishes what is in flight within 25 s; more is a hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// Variables of the environment.
pub(crate) type Variables = Vec<(OsString, OsString)>;

/// A program of this project, built beside the demo.
pub(crate) fn program(name: &str) -> Result<PathBuf> {
    let demo = std::env::current_exe().context("The demo's own file can't be found")?;
    // target/debug/examples/demo → target/debug/<name>
    let profile =
        demo.parent().and_then(Path::parent).context("The demo is not in target/…/examples")?;
    let program = profile.join(name);
    anyhow::ensure!(
        program.is_file(),
        "{} is not built. Start the demo with `make demo`, or build the programs first:\n    \
         cargo build -p ems-sync -p ems-sync-remotes --bins",
        program.display()
    );
    Ok(program)
}

/// A command with these variables and no others, in a process group of its own (a Ctrl-C is for the demo, which
/// then stops its children in order), and ended by the demo's death even if that comes as SIGKILL.
pub(crate) fn command(program: &Path, arguments: &[&str], variables: &Variables) -> Command {
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "TERM", "--"])
        .arg(program)
        .args(arguments)
        .env_clear()
        .envs(variable("PATH").map(|path| ("PATH", path)))
        .envs(variables.iter().cloned())
        .process_group(0)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A child process.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    pub(crate) fn spawn(command: &mut Command) -> Result<Self> {
        Ok(Self { child: command.spawn().context("setpriv (of util-linux) can't be started")? })
    }

    pub(crate) const fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Ends it in order: SIGTERM, and SIGKILL only if that does not do.
    pub(crate) async fn stop(&mut self) -> Result<ExitStatus> {
        if let Some(id) = self.child.id() {
            // The shell's own kill: there may be no other.
            Command::new("sh").arg("-c").arg(format!("kill -TERM {id}")).status().await?;
        }
        match tokio::time::timeout(PATIENCE, self.child.wait()).await {
            Ok(status) => Ok(status?),
            Err(_) => self.kill().await,
        }
    }

    /// SIGKILL.
    pub(crate) async fn kill(&mut self) -> Result<ExitStatus> {
        self.child.start_kill()?;
        Ok(self.child.wait().await?)
    }
}
