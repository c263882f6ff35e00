//! Stateful simulators of the remotes that ems-sync speaks to: for its tests and its demo.
//!
//! A simulator is a real HTTP(S) server on a port of 127.0.0.1 that keeps rows, enforces the
//! remote's contract (`tests/remotes/contracts/`, traps included), remembers every request in a
//! journal, and misbehaves on demand. It runs on the caller's Tokio runtime; the binary
//! `ems-sync-remotes` runs one as a process. `README.md` beside this crate has the control API.
//!
//! # The API in one page
//!
//! ```text
//! // ---- one remote: TagServer ------------------------------------------------------------
//! use ems_sync_remotes::tagserver::{Bulk, Resource, Row, TagServer, TagServerOptions};
//! let sim: Simulator<TagServer> = TagServer::start(TagServerOptions::default()).await?;
//!
//! TagServerOptions { server: ServerOptions, username: String, password: String,
//!                    first_id: i64, settings: TagServerSettings }          // : Default
//! TagServerSettings { bulk: Bulk, token_life_seconds: u64, token_expiry: TokenExpiry,
//!                     delete_unknown: DeleteUnknown, missing_relation: MissingRelation,
//!                     find_lag_ms: u64, clock_offset_seconds: i64,
//!                     publish_instance: bool }                              // : Default
//! Resource::{Organisation, Person, Event, Race, StartGroup, EventParticipant,
//!            StartGroupParticipant, Tag}; Resource::ALL; .segment() -> "start-groups"
//! Row { id: i64, external_id: Option<String>, body: serde_json::Value }
//!
//! sim.rows(Resource::Race) -> Vec<Row>                   // by id
//! sim.row(Resource::Race, "77") -> Option<Row>           // by externalId
//! sim.row_by_id(Resource::Race, 900_001) -> Option<Row>
//! sim.row_count(Resource::Race) -> usize
//! sim.plant(Resource::Race, json!({…})) -> Result<Row, ControlError>  // new, or change with "id"
//! sim.remove(Resource::Race, id) -> bool                 // behind the worker's back, no checks
//! sim.configure(|settings| settings.bulk = Bulk::NotFound)
//! sim.new_signing_secret()                               // every token is revoked early
//! sim.reimage(Reimage::Empty | Reimage::Shuffled)        // new instance, ids mean other rows
//! sim.instance() -> Uuid
//! sim.issue_token() -> String                            // a valid bearer without a login
//! tagserver::{concurrency_failure(), data_access_failure()} -> Fault
//!
//! // ---- one remote: Mautic ---------------------------------------------------------------
//! use ems_sync_remotes::mautic::{Contact, Mautic, MauticOptions, MauticSettings, …};
//! let sim: Simulator<Mautic> = Mautic::start(MauticOptions::default()).await?;
//!
//! MauticOptions { server: ServerOptions, client_id: String, client_secret: String,
//!                 username: String, password: String, first_id: i64,
//!                 settings: MauticSettings }                                // : Default
//! MauticSettings { … }                       // : Default; each field names the contract's section
//! Contact { id, values, tags, do_not_contact, segments, points, stage, owner, … }
//!         .email()  .ems_person_id()  .text("city")  .do_not_contact_reason("email")
//!
//! sim.contacts() -> Vec<Contact>                         // by id
//! sim.contact_of("42") -> Option<Contact>                // by EMS id; contacts_of for all
//! sim.contact(700_001) -> Option<Contact>    sim.contact_count() -> usize
//! sim.plant(json!({…})) -> Result<Contact, ControlError> // new, or change with "id"
//! sim.remove(id) -> bool
//! sim.unsubscribe(id, "email")  .bounce(id, "email")  .forbid(id, "sms")  .permit(id, "sms")
//! sim.merge(winner, loser) -> bool
//! sim.plant_segment("Runners") -> Result<i64, ControlError>
//! sim.filter_into_segment(id, segment) -> bool           // not where it was removed by hand
//! sim.plant_field(json!({"alias", "type", …}))?          sim.remove_field("ems_person_id")
//! sim.configure(|settings| settings.rate_limit_per_hour = 60)
//! sim.revoke_tokens()   sim.issue_token() -> String   sim.reimage(Reimage::Shuffled)
//! mautic::{contact_without_id(), list_without_contact(id), server_error_page()} -> Fault
//!
//! // ---- one remote: Chatwoot -------------------------------------------------------------
//! use ems_sync_remotes::chatwoot::{Author, Chatwoot, ChatwootOptions, Delivery, Resource, Row};
//! let sim: Simulator<Chatwoot> = Chatwoot::start(ChatwootOptions::default()).await?;
//!
//! ChatwootOptions { server: ServerOptions, account_id: i64, token: String, agent_token: String,
//!                   bot_token: String, first_id: i64, settings: ChatwootSettings } // : Default
//! ChatwootSettings { … }           // one field per difference between servers: README.md
//! Resource::{Contact, Conversation, Webhook, AttributeDefinition}
//! Row { id: i64, external_id: Option<String>, body: serde_json::Value }
//!
//! sim.rows(Resource::Contact) -> Vec<Row>                // by id
//! sim.contact("42") -> Option<Row>                       // by our EMS id
//! sim.row_by_id(Resource::Contact, 700_001) -> Option<Row>
//! sim.contact_count() -> usize
//! sim.plant(Resource::Contact, json!({…})) -> Result<Row, ControlError>   // webhooks tell of it
//! sim.remove(Resource::Contact, id) -> bool              // nothing tells of it
//! sim.merge(base, mergee)  .block(id, true)  .set_online(id, true)        // what agents do
//! sim.message(conversation, Author::{Contact, Agent}, "…") -> Result<i64, ControlError>
//! sim.run_jobs() -> Vec<Delivery>  // signed webhook requests, yours to send
//! delivery.send().await -> Sent    sim.deliver().await -> Vec<Sent>
//! sim.issue_token() -> String      sim.accept_token("…")     sim.revoke_tokens()
//! sim.reimage(Reimage::…)          sim.configure(|settings| settings.crm_v2 = true)
//!
//! // ---- another: MailChimp ---------------------------------------------------------------
//! use ems_sync_remotes::mailchimp::{Act, ListOptions, MailChimp, MailChimpOptions, …};
//! let sim: Simulator<MailChimp> = MailChimp::start(MailChimpOptions::default()).await?;
//!
//! MailChimpOptions { server, api_key: String, lists: Vec<ListOptions>,
//!                    settings: MailChimpSettings }   // : Default, one list "a1b2c3d4e5"
//! ListOptions { id, name, double_optin, merge_fields: Vec<MergeField>,
//!               interest_categories: Vec<InterestCategory> }   // : Default, without EMSID
//! ListOptions::named("…") .with_ems_id() .with_field(MergeField::new("LTV", "…", Kind::Number))
//! Row { list_id, id, ems_id: Option<String>, email_address, status: Status,
//!       opt_out: Option<OptOut>, tags: Vec<String>, body: Value }
//!
//! sim.base_url() + "/3.0"          sim.api_key() -> &str      sim.account_id() -> String
//! sim.rows(list) -> Vec<Row>       sim.row(list, "42") -> Option<Row>      // by EMSID
//! sim.member(list, key) -> Option<Row>                // by hash, contact id or address
//! sim.plant(list, &json!({…})) -> Result<Row, ControlError>   // new, or change
//! sim.remove(key) -> bool          sim.add_merge_field(list, field) -> bool
//! sim.act(list, who, &Act::Unsubscribe) -> Result<Option<Row>, ControlError>
//! Act::{Subscribe, Confirm, Unsubscribe, Complain, Clean, UnsubscribeByAdmin, Archive, Forget,
//!       ChangeAddress{email_address}, Tag{name}, Untag{name}, CrowdSignups{times}, Protect}
//! sim.configure(|settings| settings.foreign_connections = 9)
//! sim.reimage(Reimage::Shuffled)                      // another account_id, other contact ids
//! sim.take_webhooks() -> Vec<Delivery { url, headers, body }>   // signed, ready to be posted
//! sim.deliver_webhooks().await -> Vec<(Delivery, Result<StatusCode, DeliveryError>)>
//! mailchimp::subscriber_hash(email) -> String
//!
//! // ---- one remote: RunSignup (its race is the EMS's event, its event the EMS's race) --------
//! use ems_sync_remotes::runsignup::{Action, Resource, RunSignup, RunSignupOptions};
//! let sim: Simulator<RunSignup> = RunSignup::start(RunSignupOptions::default()).await?;
//!
//! RunSignupOptions { server, api_key, api_secret, caller_registration,
//!                    caller_registration_secret, oauth_client_id, callback_secret,
//!                    settings: RunSignupSettings }                          // : Default
//! Resource::{Race, Event, User, Registration}            // typed rows of the same names
//! sim.race(id) / .event(id) / .user(id) / .registration(id) -> Option<…>
//! sim.registrations() / .registrations_of("42") -> Vec<Registration>    // the removed ones, too
//! sim.rows(Resource::User) -> Vec<Value>
//! sim.plant(Resource::Race, json!({…})) -> Result<Value, ControlError>  // new, or change with "id"
//! sim.register(event_id, json!({ "user": {…} })) -> Result<i64, ControlError>
//! sim.act(registration_id, Action::{Clear, Remove, Defer, Transfer{event_id}, Reactivate})
//!     -> Option<Registration>
//! sim.remove(Resource::User, id) -> bool   sim.reimage(…)   sim.configure(|settings| …)
//! sim.issue_token(writes) -> String        sim.issue_refresh_token(writes) -> String
//! sim.callback("registered", registration_id) -> String  // the signed form, to be posted
//! runsignup::{api_error(code), throttled()} -> Fault
//!
//! // ---- every simulator ------------------------------------------------------------------
//! ServerOptions { listen: SocketAddr, control: SocketAddr, tls: Option<Certificate>,
//!                 latency: Duration, seed: u64, journal_limit: Option<usize>,
//!                 max_body_bytes: usize }                                   // : Default
//! Certificate::{Valid, WrongName, Expired, SelfSigned}
//!
//! sim.base_url() -> String         // "http://127.0.0.1:41234", the host root
//! sim.control_url() -> String      // "http://127.0.0.1:41235", see README for /_sim/…
//! sim.ca_pem() -> Option<&str>     // the private authority, when TLS
//! sim.address() -> SocketAddr
//! sim.remote() -> &TagServer
//! sim.set_latency(Duration)
//! sim.go_offline(Offline::{Refuse, Close, Hang}).await?   sim.go_online().await?
//! sim.shutdown().await             sim.restart(State::{Kept, Wiped}).await?  // same ports
//! sim.wipe()                       // rows only; ids start again
//!
//! sim.faults().push(Rule::new(Fault::CommitThenDrop).method("POST").resource("races")) -> u64
//! Rule::new(fault)                 // once, any request; narrowed by:
//!     .method("PUT") .route("/api/races/{id}") .resource(Resource::Race) .external_id("77")
//!     .operation(Operation::Find) .writes() .nth(3) .probability(0.1) .times(5) .unlimited()
//! Fault::{Delay{ms}, Status{code, headers, body, applied}, Drop, CommitThenDrop, Hang{ms},
//!         CommitThenHang{ms}, Garbage{what, applied}, SlowBody{chunk_bytes, pause_ms},
//!         RevokeToken, NewSecret, Reimage{…}, Offline{mode, ms}}
//! Fault::status(503)  Fault::throttled(seconds)  Fault::delay(Duration)  Fault::garbage(Garbage)
//! Garbage::{Html, TruncatedJson, CutOff, EmptyList, EmptyBody, StrangersRecord}
//! sim.faults().clear()  .remove(id) -> bool  .rules() -> Vec<RuleState>
//!
//! sim.journal() -> Vec<Entry>      sim.journal_since(sequence) -> Vec<Entry>
//! sim.writes_of("races", "77") -> Vec<Entry>
//! sim.counters() -> Counters       // totals, writes per resource, lookups, logins, violations …
//! sim.violations() -> Vec<Violation { sequence, code, detail }>
//! sim.overlaps() -> Vec<Overlap { resource, external_id, first, second, abandoned }>
//! sim.progress() -> watch::Receiver<Progress { started, applied, finished }>
//! sim.wait_for_requests(n).await   // n requests finished since the start; no sleeping
//! sim.wait_for(|| sim.counters().logins == 2).await       // tested whenever the journal moves
//! sim.wait_until(|progress, entries| …).await            // the same over the lent journal
//! ```
//!
//! Nothing here waits with a deadline: wrap the waits in `tokio::time::timeout`.
//!
//! # Layout, in the order of a request
//!
//! `listening` accepts (or refuses), `connection` serves HTTP/1.1, `exchange` takes one request
//! through journal, latency and faults to the [`Remote`], which answers from its own state.

mod listening;
mod tls;

mod body;
mod connection;
mod request;
mod response;

mod exchange;
mod faults;

mod counters;
mod in_flight;
mod journal;
mod ledger;

pub mod chatwoot;
pub mod mailchimp;
pub mod mautic;
mod remote;
pub mod runsignup;
pub mod tagserver;

mod control;
mod simulator;
mod sync;

pub use counters::{Counters, Violation, WriteCounters};
pub use faults::{Fault, Faults, Garbage, Rule, RuleState, When};
pub use in_flight::{Concurrency, Overlap};
pub use journal::{Effect, Entry, RowEffect};
pub use ledger::Progress;
pub use listening::Offline;
pub use remote::{Admission, ControlError, Operation, Record, Reimage, Remote, Subject, Upheaval};
pub use request::Request;
pub use response::Response;
pub use simulator::{ServerOptions, Simulator, StartError, State};
pub use tls::Certificate;
