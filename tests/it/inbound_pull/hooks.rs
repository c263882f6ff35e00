//! `POST /hooks/chatwoot`: a genuine web hook is a hint, and any other one is nothing.

use hmac::{Hmac, KeyInit as _, Mac as _};
use jiff::Timestamp;
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use ems_sync::process::Role;

use crate::support::binary::{free_port, get};
use crate::support::rig::{Rig, Running};

const SECRET: &str = "whsec_now";
const PREVIOUS: &str = "whsec_before";

/// Everything of a web hook that its sender chooses.
struct Hook<'a> {
    secret: &'a str,
    delivery: &'a str,
    age: i64,
    body: String,
}

impl Hook<'_> {
    fn of(body: &serde_json::Value) -> Self {
        let delivery = Box::leak(uuid::Uuid::new_v4().to_string().into_boxed_str());
        Self { secret: SECRET, delivery, age: 0, body: body.to_string() }
    }

    fn headers(&self) -> String {
        let timestamp = Timestamp::now().as_second() - self.age;
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(format!("{timestamp}.{}", self.body).as_bytes());
        let digits: String =
            mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        format!(
            "X-Chatwoot-Timestamp: {timestamp}\r\nX-Chatwoot-Signature: sha256={digits}\r\nX-Chatwoot-Delivery: {}\r\n",
            self.delivery
        )
    }
}

async fn post(port: u16, headers: &str, body: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let length = body.len();
    let request = format!(
        "POST /hooks/chatwoot HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    );
    // A body that is too long is not read to its end.
    stream.write_all(request.as_bytes()).await.ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok();
    let answer = String::from_utf8_lossy(&answer);
    answer.split(' ').nth(1).unwrap_or_default().parse().unwrap_or(0)
}

async fn send(port: u16, hook: &Hook<'_>) -> u16 {
    post(port, &hook.headers(), &hook.body).await
}

/// The operations endpoints, with and without secrets.
async fn serving(secrets: bool) -> (Rig, Running, u16) {
    let mut rig = Rig::new().await;
    let port = free_port().await;
    rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    rig.set("TARGETS__CHATWOOT__ENABLED", "true");
    rig.set("TARGETS__CHATWOOT__BASE_URL", "http://127.0.0.1:1");
    rig.set("TARGETS__CHATWOOT__ALLOW_HTTP", "true");
    rig.set("TARGETS__CHATWOOT__API_TOKEN", "token");
    rig.set("TARGETS__CHATWOOT__ACCOUNT_ID", "1");
    if secrets {
        rig.set("TARGETS__CHATWOOT__WEBHOOK_SECRET", SECRET);
        rig.set("TARGETS__CHATWOOT__WEBHOOK_SECRET_PREVIOUS", PREVIOUS);
    }
    let running = rig.start(&[Role::Ops]);
    while get(port, "/livez", None).await.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    (rig, running, port)
}

/// What hints have come of it: records that are to be read, and how often they were asked for.
async fn hinted(rig: &Rig) -> Vec<String> {
    let sql = "select concat_ws(' ', entity_type, remote_id, asked_gen) from sync.to_read
               union all select 'walk ' || stream from sync.cursor where hinted_on is not null order by 1";
    rig.ems.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

fn contact(id: i64) -> serde_json::Value {
    json!({"event": "contact_updated", "id": id, "name": "canary-hook-body",
           "changed_attributes": [{"name": {"previous_value": "a", "current_value": "b"}}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_genuine_web_hook_is_a_hint() {
    let (rig, running, port) = serving(true).await;
    assert_eq!(send(port, &Hook::of(&contact(42))).await, 200);
    assert_eq!(send(port, &Hook { secret: PREVIOUS, ..Hook::of(&contact(43)) }).await, 200);
    assert_eq!(send(port, &Hook { age: 290, ..Hook::of(&contact(44)) }).await, 200);
    assert_eq!(
        send(port, &Hook::of(&json!({"event": "conversation_created", "id": 5}))).await,
        200
    );
    assert_eq!(
        hinted(&rig).await,
        ["person 42 1", "person 43 1", "person 44 1", "walk conversations"]
    );
    let kept = "select count(*) from sync.to_read t where t::text like '%canary-hook-body%'";
    assert_eq!(rig.count(kept).await, 0, "nothing of a body is kept");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_stale_or_unsigned_one_has_no_effect() {
    let (rig, running, port) = serving(true).await;
    let genuine = Hook::of(&contact(42));
    let other = contact(43).to_string();
    assert_eq!(send(port, &Hook { secret: "whsec_else", ..Hook::of(&contact(1)) }).await, 401);
    assert_eq!(send(port, &Hook { secret: "", ..Hook::of(&contact(1)) }).await, 401);
    assert_eq!(send(port, &Hook { age: 310, ..Hook::of(&contact(1)) }).await, 401);
    assert_eq!(send(port, &Hook { age: -310, ..Hook::of(&contact(1)) }).await, 401);
    assert_eq!(post(port, &genuine.headers(), &other).await, 401, "another body");
    assert_eq!(post(port, "", &genuine.body).await, 401);
    let body =
        format!("{{\"event\":\"contact_updated\",\"id\":1,\"x\":\"{}\"}}", "x".repeat(2 << 20));
    let long = Hook { body, ..Hook::of(&contact(1)) };
    assert!(matches!(send(port, &long).await, 413 | 0), "too long");
    assert_eq!(send(port, &Hook { body: "[]".to_owned(), ..Hook::of(&contact(1)) }).await, 400);
    assert!(hinted(&rig).await.is_empty());
    assert_eq!(rig.count("select count(*) from sync.hook_seen").await, 0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_one_has_no_effect_in_any_process() {
    let (rig, running, port) = serving(true).await;
    let second_port = free_port().await;
    let mut second = Rig { settings: rig.settings.clone(), ..Rig::new().await };
    second.set("OPS__LISTEN", &format!("127.0.0.1:{second_port}"));
    let second_running = second.start(&[Role::Ops]);
    while get(second_port, "/livez", None).await.is_none() {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let hook = Hook::of(&contact(42));
    let headers = hook.headers();
    assert_eq!(post(port, &headers, &hook.body).await, 200);
    assert_eq!(post(port, &headers, &hook.body).await, 200);
    assert_eq!(post(second_port, &headers, &hook.body).await, 200);
    // With another number, which nobody has signed.
    let renamed = headers.replace(hook.delivery, "another");
    assert_eq!(post(second_port, &renamed, &hook.body).await, 200);
    // The same number, signed anew: Chatwoot's queue ran it again.
    assert_eq!(send(port, &Hook { age: 5, body: hook.body.clone(), ..hook }).await, 200);
    assert_eq!(hinted(&rig).await, ["person 42 1"]);

    // What is out of the window is forgotten; its signature is not accepted any more.
    rig.exec("update sync.hook_seen set seen_on = now() - interval '12 minutes'").await;
    assert_eq!(send(port, &Hook::of(&contact(7))).await, 200);
    assert_eq!(rig.count("select count(*) from sync.hook_seen").await, 2);
    second_running.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_that_came_in_is_no_change_of_a_contact() {
    let (rig, running, port) = serving(true).await;
    let activity = json!({"event": "contact_updated", "id": 42,
        "changed_attributes": [{"last_activity_at": {}}, {"updated_at": {}}]});
    assert_eq!(send(port, &Hook::of(&activity)).await, 200);
    assert_eq!(send(port, &Hook::of(&json!({"event": "message_created", "id": 1}))).await, 200);
    assert!(hinted(&rig).await.is_empty());
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_secret_there_is_no_such_endpoint() {
    let (rig, running, port) = serving(false).await;
    assert_eq!(send(port, &Hook::of(&contact(42))).await, 404);
    assert!(hinted(&rig).await.is_empty());
    running.stop().await;
}

/// Whoever sends something that can't be genuine has an answer before the body comes, and one whose body does not come waits for
/// nobody: so neither keeps the genuine ones out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_does_not_come_keeps_nobody_out() {
    let (rig, running, port) = serving(true).await;
    let genuine = Hook::of(&contact(42));
    let silent = async |headers: String| {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let request = format!(
            "POST /hooks/chatwoot HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n{headers}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        (String::from_utf8_lossy(&answer).into_owned(), stream)
    };
    let within = std::time::Duration::from_secs(6);
    let old = Hook { age: 400, ..Hook::of(&contact(42)) }.headers();
    let odd = genuine.headers().replace("sha256=", "sha1=");
    let began = std::time::Instant::now();
    for headers in [old, odd, String::new()] {
        let (answer, _stream) =
            tokio::time::timeout(within, silent(headers)).await.expect("answers");
        assert_eq!(answer, "HTTP/1.1 401");
    }
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "nobody waits for these bodies");
    let (answer, _stream) =
        tokio::time::timeout(within, silent(genuine.headers())).await.expect("answers");
    assert_eq!(answer, "HTTP/1.1 408");
    assert_eq!(send(port, &genuine).await, 200);
    assert_eq!(hinted(&rig).await, ["person 42 1"]);
    running.stop().await;
}
