//! Several processes of the real binary at once, and what they say.

use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Child;
use tokio::task::JoinHandle;

use super::binary;
use super::process::{ends_within, signal};
use super::rig::Rig;

/// Processes that relay and consume.
pub(crate) struct Fleet {
    processes: Vec<(Child, JoinHandle<()>)>,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Fleet {
    pub(crate) fn start(rig: &Rig, processes: usize) -> Self {
        let lines = Arc::<Mutex<Vec<String>>>::default();
        let start = |_| {
            let arguments = ["run", "--roles", "relay,consume", "--log-format", "json"];
            let mut command = binary::of(rig, &arguments);
            command.stdout(Stdio::null());
            let mut child = command.spawn().unwrap();
            let mut stderr = BufReader::new(child.stderr.take().unwrap()).lines();
            let heard = Arc::clone(&lines);
            let listening = tokio::spawn(async move {
                while let Some(line) = stderr.next_line().await.unwrap() {
                    heard.lock().unwrap().push(line);
                }
            });
            (child, listening)
        };
        Self { processes: (0..processes).map(start).collect(), lines }
    }

    /// The log lines of that level, of all of them.
    pub(crate) fn log(&self, level: &str) -> Vec<String> {
        let level = format!("\"level\":\"{level}\"");
        let lines = self.lines.lock().unwrap();
        lines.iter().filter(|line| line.contains(&level)).cloned().collect()
    }

    pub(crate) async fn stop(&mut self) {
        for (child, _) in &self.processes {
            signal(child, "TERM").await;
        }
        for (child, listening) in &mut self.processes {
            assert_eq!(ends_within(child, 60).await, Some(0));
            listening.await.unwrap();
        }
    }
}
