//! G9 for all five targets at once: a word of its own in every sensitive column and every secret of the configuration is looked
//! for in each request that leaves, whole, and in messages, logs, metrics and documents.

use std::collections::BTreeMap;

use base64::Engine as _;
use ems_sync::broker::Queue;
use ems_sync::process::Role;
use ems_sync::target::Target;
use ems_sync_remotes::{Fault, Faults, Rule};
use lapin::options::BasicGetOptions;
use lapin::{Connection, ConnectionProperties};
use serde_json::json;

use super::bed::{Bed, Secrets};
use super::wiretap::Wiretap;
use crate::support::binary::{self, free_port, get};
use crate::support::process::signal;
use crate::support::random::Random;
use crate::support::rig::PATIENCE;

use Target::{Chatwoot, MailChimp, Mautic, RunSignup, TagServer};

/// A sensitive column.
struct Canary {
    table: &'static str,
    column: &'static str,
    /// What stands in it, in SQL over `id`.
    value: &'static str,
    /// By what it is known, however it is spelt.
    words: &'static [&'static str],
    /// Who may see it.
    seen_by: &'static [Target],
}

const fn canary(
    table: &'static str,
    column: &'static str,
    value: &'static str,
    words: &'static [&'static str],
    seen_by: &'static [Target],
) -> Canary {
    Canary { table, column, value, words, seen_by }
}

const NAME: &str = "Canaryfirst";
const EVERYBODY: &[Target] = &Target::ALL;

const CANARIES: [Canary; 28] = [
    canary("person", "first_name", "'Canaryfirst' || id", &[NAME], EVERYBODY),
    canary("person", "last_name", "'Canarylast' || id", &["Canarylast"], EVERYBODY),
    canary("person", "title", "'Canarytitle'", &["Canarytitle"], &[Mautic]),
    canary(
        "person",
        "email",
        "'canarymail' || id || '@club.org'",
        &["canarymail"],
        &[Mautic, MailChimp, RunSignup, Chatwoot],
    ),
    canary(
        "person",
        "phone",
        "'+185655501' || lpad(id::text, 2, '0')",
        &["85655501", "856-555-01", "(856) 555-01"],
        &[Mautic, RunSignup, Chatwoot],
    ),
    canary(
        "person",
        "date_of_birth",
        "'1907-03-17'",
        &["1907-03-17", "03/17/1907", "3/17/1907", "03/17"],
        &[TagServer, RunSignup],
    ),
    canary("person", "address_line", "id || ' Canarystreet'", &["Canarystreet"], &[RunSignup]),
    canary("person", "city", "'Canarycity'", &["Canarycity"], &[Mautic, RunSignup, Chatwoot]),
    canary("person", "identity_type", "'PASSPORT'", &["PASSPORT"], &[]),
    canary("person", "identity_number", "'canaryidentity' || id", &["canaryidentity"], &[]),
    canary(
        "person",
        "emergency_contact_name",
        "'canaryemergencyname'",
        &["canaryemergencyname"],
        &[],
    ),
    canary(
        "person",
        "emergency_contact_number",
        "'canaryemergencynumber'",
        &["canaryemergencynumber"],
        &[],
    ),
    canary("person", "medical_conditions", "'canaryconditions'", &["canaryconditions"], &[]),
    canary("person", "medical_allergies", "'canaryallergies'", &["canaryallergies"], &[]),
    canary("organisation", "email", "'canaryorgmail@club.org'", &["canaryorgmail"], &[]),
    canary("organisation", "phone", "'canaryorgphone'", &["canaryorgphone"], &[]),
    canary("organisation", "website", "'https://canaryorgsite.org'", &["canaryorgsite"], &[]),
    canary(
        "event_participant",
        "number",
        "(7310000 + id)::text",
        &["731000"],
        &[TagServer, RunSignup],
    ),
    canary("event_participant", "team", "'canaryteam'", &["canaryteam"], &[]),
    canary("event_participant", "shirt_size", "'canaryshirt'", &["canaryshirt"], &[]),
    canary("contact_preference", "reason", "'canaryreason'", &["canaryreason"], &[]),
    canary("list_membership", "labels", "array['canarylabel']", &["canarylabel"], &[MailChimp]),
    canary("tag", "number", "'CANARYTAG' || id", &["CANARYTAG"], &[TagServer]),
    canary("tag", "barcode", "'CANARYBARCODE' || id", &["CANARYBARCODE"], &[TagServer]),
    canary("conversation", "subject", "'canarysubject'", &["canarysubject"], &[]),
    canary("conversation", "assignee", "'canaryassignee'", &["canaryassignee"], &[]),
    canary("conversation", "inbox", "'canaryinbox'", &["canaryinbox"], &[]),
    canary(
        "conversation",
        "external_id",
        "'canaryconversation' || id",
        &["canaryconversation"],
        &[],
    ),
];

/// What each secret may stand behind, in requests to its own target: the header or field that the contract wants.
const PLACES: [(&str, Target, &str); 7] = [
    (Secrets::TAGSERVER, TagServer, "\"password\":\""),
    (Secrets::MAUTIC, Mautic, "client_secret="),
    (Secrets::MAILCHIMP, MailChimp, "authorization: basic ems-sync:"),
    (Secrets::RUNSIGNUP_KEY, RunSignup, "rsu_api_key="),
    (Secrets::RUNSIGNUP, RunSignup, "x-rsu-api-secret: "),
    (Secrets::CALLER_ID, RunSignup, "rsu_api_reg="),
    (Secrets::CALLER, RunSignup, "x-rsu-api-reg-secret: "),
];
const CHATWOOT_PLACES: [&str; 2] = ["api-access-token: ", "api_access_token: "];

/// What may stand nowhere but in requests: words that are long enough to be nothing else.
fn private_words() -> Vec<&'static str> {
    let words = CANARIES.iter().flat_map(|canary| canary.words.iter().copied());
    let strange = words.filter(|word| word.chars().any(char::is_alphabetic) && *word != "PASSPORT");
    strange.chain(["1907-03-17", "+185655501"]).chain(Secrets::ALL).collect()
}

pub(super) fn assert_clean(place: &str, text: &str, words: &[&str]) {
    let lower = text.to_lowercase();
    for word in words {
        if let Some(at) = lower.find(&word.to_lowercase()) {
            panic!("{word} leaked to {place}: … {} …", around(&lower, at));
        }
    }
}

fn around(text: &str, at: usize) -> String {
    let before: Vec<char> = text[..at].chars().rev().take(200).collect();
    before.into_iter().rev().chain(text[at..].chars().take(200)).collect()
}

/// Requests in lower case, with what is encoded put in clear: credentials of `Basic`, and percent signs.
fn in_clear(requests: &str) -> String {
    let lines = requests.split('\n').map(|line| {
        let Some((name, credentials)) = line.split_once("Basic ") else { return line.to_owned() };
        let decoded = base64::engine::general_purpose::STANDARD.decode(credentials.trim());
        format!("{name}basic {}", String::from_utf8(decoded.unwrap_or_default()).unwrap())
    });
    let clear = lines.collect::<Vec<_>>().join("\n");
    let mut bytes = Vec::with_capacity(clear.len());
    let mut rest = clear.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        let hex = others.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        let decoded = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (first, decoded) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &others[2..];
            }
            (first, _) => {
                bytes.push(*first);
                rest = others;
            }
        }
    }
    String::from_utf8_lossy(&bytes).to_lowercase()
}

/// What one target was sent: nothing that it may not see, all that it may, and secrets only where they belong.
fn assert_requests(target: Target, requests: &str) {
    let (raw, clear) = (requests.to_lowercase(), in_clear(requests));
    for canary in &CANARIES {
        let is_there = |word: &&&str| {
            raw.contains(&word.to_lowercase()) || clear.contains(&word.to_lowercase())
        };
        let found = canary.words.iter().find(is_there);
        let of = format!("{}.{}", canary.table, canary.column);
        if canary.seen_by.contains(&target) {
            assert!(found.is_some(), "{target} was to see {of}");
        } else if let Some(word) = found {
            let at = clear.find(&word.to_lowercase()).unwrap_or_default();
            panic!("{of} leaked to {target}: … {} …", around(&clear, at));
        }
    }
    for secret in Secrets::ALL {
        let places: Vec<&str> = if secret == Secrets::CHATWOOT && target == Chatwoot {
            CHATWOOT_PLACES.to_vec()
        } else {
            let own = PLACES.iter().filter(|(of, whose, _)| *of == secret && *whose == target);
            own.map(|(_, _, place)| *place).collect()
        };
        let secret = &secret.to_lowercase();
        let mut seen = 0;
        for (at, _) in clear.match_indices(secret.as_str()) {
            let is_in_place = places.iter().any(|place| clear[..at].ends_with(place));
            assert!(is_in_place, "a secret leaked to {target}: … {} …", around(&clear, at));
            seen += 1;
        }
        assert!(seen > 0 || places.is_empty(), "{target} was not told {places:?}");
    }
}

/// A population with a canary in every sensitive column.
async fn populate(bed: &Bed, people: i64) {
    bed.populate(people).await;
    bed.rig
        .exec(
            "update ems.person set identity_country = 'ZA';
             insert into ems.conversation (person_id, source, external_id) select id, 'chatwoot', id::text from ems.person",
        )
        .await;
    let mut columns: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for Canary { table, column, value, .. } in &CANARIES {
        columns.entry(table).or_default().push(format!("{column} = {value}"));
    }
    for (table, columns) in columns {
        bed.rig.exec(&format!("update ems.{table} set {}", columns.join(", "))).await;
    }
}

/// Answers that quote a person's data and a secret in every place where a server might.
fn echo(faults: &Faults, secret: &str) {
    let said = format!("{NAME} {secret}");
    let body = json!({"type": said, "title": said, "detail": said, "message": said, "error": said,
                      "errors": [{"code": 400, "message": said, "field": NAME, "details": {NAME: [said]}}],
                      "error_description": said});
    for (code, n) in [(400, 2), (500, 3), (422, 2)] {
        let fault =
            Fault::Status { code, headers: Vec::new(), body: Some(body.clone()), applied: false };
        faults.push(Rule::new(fault).writes().times(n));
    }
}

/// All that lies in the queues of all targets: bodies, properties and headers.
pub(super) async fn messages(bed: &Bed) -> Vec<String> {
    let connection =
        Connection::connect(&bed.rig.services.amqp_url, ConnectionProperties::default());
    let connection = connection.await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    let mut messages = Vec::new();
    for queue in Target::ALL.into_iter().flat_map(Queue::of) {
        let name = queue.name(&bed.rig.prefix);
        let options = BasicGetOptions { no_ack: true };
        while let Some(message) = channel.basic_get(name.clone().into(), options).await.unwrap() {
            let body = String::from_utf8(message.delivery.data.clone()).unwrap();
            messages.push(format!("{name}: {body} {:?}", message.delivery.properties));
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_target_is_sent_what_it_may_not_see_and_nothing_private_stands_anywhere_else() {
    let mut bed = Bed::with(&Target::ALL, None).await;
    let mut wires = Vec::new();
    for target in Target::ALL {
        let root = bed.address(target).0;
        let wire = Wiretap::before(&root).await;
        let key = format!("EMS_SYNC__TARGETS__{}__BASE_URL", target.name().to_uppercase());
        let tapped = bed.rig.settings[&key].replace(&root, &wire.base_url());
        bed.set(target, "BASE_URL", &tapped);
        wires.push((target, wire));
    }
    let port = free_port().await;
    bed.rig.set("OPS__LISTEN", &format!("127.0.0.1:{port}"));
    bed.rig.set("OPS__TOKEN", Secrets::OPS);
    let private = private_words();

    // Messages, while nobody takes them.
    let relay = bed.rig.start(&[Role::Relay]);
    populate(&bed, 12).await;
    bed.rig.until("select count(*) from sync.outbox", "relayed").await;
    relay.stop().await;
    let outbound = messages(&bed).await;
    assert!(outbound.len() > 12 * Target::ALL.len(), "{}", outbound.len());
    assert_clean("messages", &outbound.join("\n"), &private);

    let trace = ["--log-level", "trace", "--log-format", "json", "run"];
    let mut worker = binary::of(&bed.rig, &trace).spawn().unwrap();
    let (mut stdout, mut stderr) = (worker.stdout.take().unwrap(), worker.stderr.take().unwrap());
    let output = tokio::spawn(async move {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let both = tokio::join!(
            tokio::io::copy(&mut stdout, &mut out),
            tokio::io::copy(&mut stderr, &mut err)
        );
        assert!(both.0.is_ok() && both.1.is_ok());
        [out, err].map(|bytes| String::from_utf8(bytes).unwrap())
    });
    bed.rig.settled().await;
    // Refusals and failures that say more than they should.
    echo(bed.rig.sim.faults(), Secrets::TAGSERVER);
    echo(bed.mautic.faults(), Secrets::MAUTIC);
    echo(bed.mailchimp.faults(), Secrets::MAILCHIMP);
    echo(bed.runsignup.faults(), Secrets::RUNSIGNUP);
    echo(bed.chatwoot.faults(), Secrets::CHATWOOT);
    bed.rig.exec("update ems.person set first_name = first_name || 'x'").await;
    bed.rig.settled().await;
    let failed = "select count(distinct target) from sync.attempt where error is not null";
    assert_eq!(bed.rig.count(failed).await, 5, "each has failed and said why");

    // Something to tell for `verify`.
    let mut random = Random::seeded("canaries");
    for target in Target::ALL {
        let entity_type = super::meddling::entity_of(target);
        let there = format!(
            "select min(entity_id) from sync.record where target = '{target}' and entity_type = '{entity_type}' and state = 'synced'"
        );
        let id = bed.rig.count(&there).await;
        if target != MailChimp {
            bed.edit(target, id, &mut random);
        }
    }
    let mut told = String::new();
    for path in ["/livez", "/readyz", "/metrics", "/api/v1/status", "/api/v1/explain/person/2"] {
        told.push_str(&get(port, path, Some(Secrets::OPS)).await.expect("listens").1);
    }
    let mut commands: Vec<Vec<&str>> = vec![
        vec!["status", "--json"],
        vec!["status"],
        vec!["explain", "person", "2", "--json"],
        vec!["explain", "person", "2"],
        vec!["explain", "--email", "canarymail2@club.org", "--json"],
        vec!["explain", "--bib", "7310002", "--json"],
        vec!["check-config", "--json"],
        vec!["sweep", "outbound", "--json"],
    ];
    for target in Target::ALL {
        commands.push(vec!["verify", "--target", target.name(), "--json"]);
        commands.push(vec!["dead-letters", "list", "--target", target.name(), "--json"]);
        commands.push(vec!["resync", "--target", target.name(), "--dry-run", "--json"]);
    }
    for arguments in commands {
        let mut command = binary::of(&bed.rig, &arguments);
        command.args(["--log-level", "trace"]);
        let ended = binary::ended(command).await;
        assert!(matches!(ended.code, Some(0 | 1)), "{arguments:?}: {ended:?}");
        told.push_str(&ended.stdout);
        told.push_str(&ended.stderr);
    }
    assert!(told.contains("ems_sync_deliveries_total") && told.contains("\"finding\""), "{told}");
    assert_clean("endpoints and documents", &told, &private);

    signal(&worker, "TERM").await;
    let end = tokio::time::timeout(PATIENCE, worker.wait()).await.expect("stops").unwrap();
    assert_eq!(end.code(), Some(0));
    let [stdout, stderr] = output.await.unwrap();
    assert!(stderr.lines().count() > 20, "{stderr}");
    assert_clean("standard output", &stdout, &private);
    assert_clean("logs", &stderr, &private);
    let left = messages(&bed).await;
    assert!(left.iter().any(|message| message.contains(".dead: ")), "some are dead: {left:?}");
    assert_clean("left messages", &left.join("\n"), &private);
    for (target, wire) in &wires {
        assert_requests(*target, &wire.requests());
    }
}
