//! The binary.

use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::client::{builder, soon};

async fn spawn(arguments: &[&str]) -> (Child, Value) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ems-sync-remotes"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    soon(output.read_line(&mut line)).await.unwrap();
    (child, serde_json::from_str(&line).unwrap())
}

#[tokio::test]
async fn it_says_where_it_is_and_stops_when_its_input_ends() {
    let arguments =
        ["tagserver", "--username", "u", "--password", "p", "--no-bulk", "--stop-on-eof"];
    let (mut child, ready) = spawn(&arguments).await;
    assert_eq!(ready["remote"], "tagserver");
    let http = builder().build().unwrap();
    let base = ready["base_url"].as_str().unwrap();
    let login = http
        .post(format!("{base}/api/authenticate"))
        .json(&json!({ "username": "u", "password": "p" }))
        .send()
        .await
        .unwrap();
    assert_eq!(login.status(), 200);
    let control = ready["control_url"].as_str().unwrap();
    let settings = http.get(format!("{control}/_sim/settings")).send().await.unwrap();
    assert_eq!(settings.json::<Value>().await.unwrap()["bulk"], "not_found");
    drop(child.stdin.take());
    assert!(soon(child.wait()).await.unwrap().success());
}

#[tokio::test]
async fn each_remote_has_its_subcommand() {
    let (_child, ready) = spawn(&["runsignup", "--api-key", "k", "--api-secret", "s"]).await;
    assert_eq!(ready["remote"], "runsignup");
    let url =
        format!("{}/rest/races?format=json&rsu_api_key=k", ready["base_url"].as_str().unwrap());
    let races = builder().build().unwrap().get(url).header("X-RSU-API-SECRET", "s").send().await;
    assert_eq!(races.unwrap().json::<Value>().await.unwrap(), json!({ "races": [] }));
}

#[tokio::test]
async fn it_stops_on_sigterm_and_leaves_no_file_behind() {
    let (mut child, ready) = spawn(&["tagserver", "--tls"]).await;
    let path = ready["ca_file"].as_str().unwrap().to_owned();
    let authority = reqwest::Certificate::from_pem(&std::fs::read(&path).unwrap()).unwrap();
    let http = builder().tls_certs_only([authority]).build().unwrap();
    let info = format!("{}/management/info", ready["base_url"].as_str().unwrap());
    assert_eq!(http.get(info).send().await.unwrap().status(), 200);
    let pid = child.id().unwrap().to_string();
    assert!(Command::new("kill").arg(pid).status().await.unwrap().success());
    assert!(soon(child.wait()).await.unwrap().success());
    assert!(!std::path::Path::new(&path).exists());
}

#[tokio::test]
async fn it_fails_on_a_port_that_is_taken() {
    let (_child, ready) = spawn(&["tagserver"]).await;
    let taken = ready["base_url"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let second = Command::new(env!("CARGO_BIN_EXE_ems-sync-remotes"))
        .args(["tagserver", "--listen", &taken])
        .output();
    assert!(!soon(second).await.unwrap().status.success());
}
