//! Capture is tested in its own language: `tests/sql/run.sh` checks the reference EMS, the triggers and the elided
//! wake-up in databases that it makes and drops.

use crate::support::database::Services;

#[tokio::test]
async fn the_capture_triggers_keep_every_rule_of_theirs() {
    let services = Services::get();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sql/run.sh");
    let path = match (std::env::var("EMS_SYNC_LOCAL_PG_BIN"), std::env::var("PATH")) {
        (Ok(bin), Ok(path)) => format!("{bin}:{path}"),
        (_, path) => path.unwrap(),
    };
    let run = tokio::process::Command::new("bash")
        .arg(script)
        .env("DATABASE_URL", &services.database_url)
        .env("PATH", path)
        .output()
        .await
        .unwrap();
    let output = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{output}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(output.contains(" 0 failed"), "{output}");
}
