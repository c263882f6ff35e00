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
async fn each_remote_is_a_subcommand() {
    let (_child, ready) = spawn(&["mautic", "--client-secret", "s", "--basic-auth"]).await;
    assert_eq!(ready["remote"], "mautic");
    let http = builder().build().unwrap();
    let base = ready["base_url"].as_str().unwrap();
    let form =
        [("grant_type", "client_credentials"), ("client_id", "1_ems-sync"), ("client_secret", "s")];
    let token = http.post(format!("{base}/oauth/v2/token")).form(&form).send().await.unwrap();
    assert_eq!(token.status(), 200);
    let contacts = http
        .get(format!("{base}/api/contacts"))
        .basic_auth("ems-sync", Some("ems-sync-password"))
        .send()
        .await
        .unwrap();
    assert_eq!(contacts.status(), 200);
}

#[tokio::test]
async fn it_serves_chatwoot() {
    let arguments = ["chatwoot", "--token", "t", "--account-id", "3", "--allow-private-network"];
    let (_child, ready) = spawn(&arguments).await;
    assert_eq!(ready["remote"], "chatwoot");
    let base = ready["base_url"].as_str().unwrap();
    let http = builder().build().unwrap();
    let contacts = format!("{base}/api/v1/accounts/3/contacts");
    let answer = http.get(contacts).header("Api-Access-Token", "t").send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let settings = format!("{}/_sim/settings", ready["control_url"].as_str().unwrap());
    let settings: Value = http.get(settings).send().await.unwrap().json().await.unwrap();
    assert_eq!(settings["allow_private_network"], true);
    assert_eq!(settings["jobs"], "held");
}

#[tokio::test]
async fn it_is_a_mailchimp_if_it_is_told_so() {
    let arguments =
        ["mailchimp", "--api-key", "k-us1", "--list", "one", "--list", "two", "--ems-id-field"];
    let (_child, ready) = spawn(&arguments).await;
    assert_eq!(ready["remote"], "mailchimp");
    let http = builder().build().unwrap();
    let fields = format!("{}/3.0/lists/two/merge-fields", ready["base_url"].as_str().unwrap());
    let fields = http.get(fields).basic_auth("any", Some("k-us1")).send().await.unwrap();
    let fields = fields.json::<Value>().await.unwrap();
    let mut tags = fields["merge_fields"].as_array().unwrap().iter().map(|field| &field["tag"]);
    assert!(tags.any(|tag| tag == "EMSID"), "{fields}");
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
