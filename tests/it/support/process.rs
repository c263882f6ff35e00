//! Child processes: signals to them, and how they end.

use std::time::Duration;

use tokio::process::{Child, Command};

/// Sends a signal to one child process, by its id.
pub(crate) async fn signal(child: &Child, name: &str) {
    let id = child.id().expect("runs").to_string();
    let status = Command::new("kill").args([&format!("-{name}"), &id]).status().await.unwrap();
    assert!(status.success(), "kill -{name} {id}");
}

/// Waits for the end of a child; its exit code, `None` after a signal.
pub(crate) async fn ends_within(child: &mut Child, seconds: u64) -> Option<i32> {
    let end = tokio::time::timeout(Duration::from_secs(seconds), child.wait());
    end.await.expect("the process ends in time").unwrap().code()
}
