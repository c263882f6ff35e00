//! Every bound of the program in one place, with the relations between them asserted at compile time.
//!
//! A quantity without a bound is a bug. Units stand in the names or are `Duration`s.

use std::time::Duration;

// --- Capture and relay -------------------------------------------------------------------------

/// Outbox rows that the relay claims in one transaction. Hundreds drain fastest for their latency.
pub const RELAY_BATCH_ROWS: i64 = 1_000;
/// Longest sleep of the relay between two looks at the outbox when nothing wakes it.
pub const RELAY_FALLBACK_POLL: Duration = Duration::from_secs(1);
/// Pause between two looks in `capture.wake = "poll"`, and while a writer holds the wake-up lock.
pub const RELAY_POLL: Duration = Duration::from_millis(10);
/// A standby relay drains too when the oldest outbox row is older than this: the leader may be a zombie.
pub const RELAY_STANDBY_TAKES_OVER_AFTER: Duration = Duration::from_secs(3);
/// How often the listener's connection is proven by a round trip, and how long that may take.
pub const LISTENER_PING_EVERY: Duration = Duration::from_secs(10);
/// How long the listener's round trip may take.
pub const LISTENER_PING_TIMEOUT: Duration = Duration::from_secs(2);
/// How often records that are owed and due are looked for and published again.
pub const REPUBLISH_EVERY: Duration = Duration::from_secs(30);
/// A standby relay scans too, but seldom: it only stands in for a leader that is stopped.
pub const REPUBLISH_STANDBY_EVERY: Duration = Duration::from_secs(90);
/// How soon the republish scan looks again while it found a full batch.
pub const REPUBLISH_SOON: Duration = Duration::from_millis(500);
/// Records that one republish scan publishes at most.
pub const REPUBLISH_BATCH_ROWS: i64 = 4_000;
/// A queue with at least this many messages is not published to by the scan: what is owed is in it already.
pub const QUEUE_SHORT: u32 = 200;
/// A queue with at least this many messages is not published to at all: back-pressure, the rest stays owed.
pub const QUEUE_FULL: u32 = 20_000;
/// How long a queue's length that was read may be used.
pub const QUEUE_LENGTH_CACHED: Duration = Duration::from_millis(500);

// --- Broker ------------------------------------------------------------------------------------

/// Publishes that may await their confirm at once. Throughput stops growing beyond some hundreds.
pub const CONFIRM_WINDOW: usize = 256;
/// Longest wait for any single broker call. lapin may hang in each of them.
pub const BROKER_CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest wait for a broker connection, handshake included.
pub const BROKER_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Heartbeat that is asked of the broker: a dead network is noticed within two of these.
pub const BROKER_HEARTBEAT_SECONDS: u16 = 5;
/// How soon a publisher that awaits a confirm notices that an alarm of the broker blocks it.
pub const BROKER_BLOCKED_NOTICED: Duration = Duration::from_millis(50);
/// A consumer to whom nothing came for this long asks the broker whether it still has it.
pub const CONSUMER_PROVEN_EVERY: Duration = Duration::from_secs(10);
/// Reconnect delays grow from this …
pub const RECONNECT_MIN: Duration = Duration::from_millis(100);
/// … to this.
pub const RECONNECT_MAX: Duration = Duration::from_secs(5);
/// Size of a message body that is still looked at. A delivery has about 150 bytes.
pub const MESSAGE_BYTES_MAX: usize = 4 * 1024;
/// A poison fuse of the broker, never a rule of ours: attempts are counted in Postgres.
pub const BROKER_DELIVERY_LIMIT: i64 = 1_000;
/// Delay queues: suffix and time to live. Dead-lettered back to the outbound queue.
pub const DELAY_QUEUES: [(&str, Duration); 4] = [
    ("retry.1s", Duration::from_secs(1)),
    ("retry.2s", Duration::from_secs(2)),
    ("retry.4s", Duration::from_secs(4)),
    ("retry.30s", Duration::from_secs(30)),
];

// --- Consumer ----------------------------------------------------------------------------------

/// Deliveries that one batch takes at most. It never waits to fill up.
pub const BATCH_DELIVERIES: usize = 100;
/// Batches of one target that may be under way at once in a process.
pub const BATCHES_IN_FLIGHT: usize = 4;
/// A batch that pushes for longer gives its place to the next one: something in it is slow.
pub const BATCH_SLOW_AFTER: Duration = Duration::from_secs(1);
/// How long a result that has arrived waits for others to be written down with it.
pub const FINISH_LINGER: Duration = Duration::from_millis(100);
/// Unacknowledged deliveries per consumer: what the batches under way hold, and the next one.
pub const PREFETCH: u16 = 500;
/// How often a batch goes again at once because a newer change came while it was pushing.
pub const GO_AGAIN_MAX: u32 = 20;
/// How often a transaction that lost a deadlock or a serialisation race is tried again.
pub const TRANSACTION_TRIES_MAX: u32 = 5;
/// A lease lasts this many request time-outs: a token renewal, a look-up and a write, and one to spare …
pub const LEASE_REQUESTS: u32 = 4;
/// … and at least this long.
pub const LEASE_MIN: Duration = Duration::from_secs(30);

/// How long the leases of a batch last where a request may take that long.
#[must_use]
pub fn lease(request_timeout: Duration) -> Duration {
    (request_timeout * LEASE_REQUESTS).max(LEASE_MIN)
}

/// How long a record waits for its parent or child before it looks again by itself.
pub const WAITING_LOOKS_AGAIN_AFTER: Duration = Duration::from_secs(30);
/// After an ambiguous write the remote is read back when the request can no longer be under way
/// (deadline + settle time), and again after these.
pub const READ_BACK_AGAIN_AFTER: [Duration; 2] =
    [Duration::from_secs(2 * 60), Duration::from_secs(10 * 60)];
/// Consecutive transient failures of different entities that open the breaker.
pub const BREAKER_FAILURES: usize = 5;
/// Pushes are counted for this long, from a failure on …
pub const BREAKER_WINDOW: Duration = Duration::from_secs(30);
/// … and when there were at least so many …
pub const BREAKER_WINDOW_PUSHES: u64 = 20;
/// … of which so many in a hundred failed, the breaker opens. With half of them failing, four tries bring most home.
pub const BREAKER_FAILED_PERCENT: u64 = 70;
/// Failed entities that a window knows by name; more are counted without.
pub const BREAKER_WINDOW_ENTITIES: usize = 100;
/// First pause of an opened breaker; it doubles …
pub const BREAKER_PAUSE_MIN: Duration = Duration::from_secs(2);
/// … up to this, and a tenth more at random.
pub const BREAKER_PAUSE_MAX: Duration = Duration::from_secs(30);
/// A breaker that opens again within this after a closing goes on with the episode: longer pauses, no new alert.
pub const BREAKER_CALM: Duration = Duration::from_secs(60);
/// Failures that lie further apart are no lasting failure.
pub const BREAKER_MEMORY: Duration = Duration::from_secs(60 * 60);
/// How long an entity that failed while its target was on trial makes way for others.
pub const TRIAL_SPARES: Duration = Duration::from_secs(5);
/// A target that opens for business gets a tenth of the work at first, and all of it after this.
pub const SLOW_START: Duration = Duration::from_secs(60);
/// A pause that a target asks for is kept from this …
pub const THROTTLE_MIN: Duration = Duration::from_secs(1);
/// … up to this.
pub const THROTTLE_MAX: Duration = Duration::from_secs(15 * 60);
/// First pause of a target that asks for one and does not say how long; it doubles.
pub const LEARNT_PAUSE_MIN: Duration = Duration::from_secs(2);
/// Served pushes are written down at most this often while only they are to be told.
pub const EVIDENCE_EVERY: Duration = Duration::from_millis(250);
/// How often a change of a target's shared state is tried that others were quicker with.
pub const TARGET_CHANGE_TRIES: u32 = 50;
/// The guard's window is the interval of the outbound sweep, and at least this.
pub const GUARD_WINDOW_MIN: Duration = Duration::from_secs(5 * 60);
/// How long a process leaves a target alone because another one says that it was told to, and has not written it down yet.
pub const HUSH: Duration = Duration::from_secs(1);
/// How often a process reads the shared state of the targets.
pub const TARGET_STATE_EVERY: Duration = Duration::from_millis(500);

/// How often a queue of dead letters is compared with Postgres at least.
pub const TIDY_TOKENS_EVERY: Duration = Duration::from_secs(10);
/// Whoever opens a dead letter publishes its token within this; only then it counts as missing.
pub const TOKEN_GRACE: Duration = Duration::from_secs(5);
/// A queue of dead letters is gone through this often even if nothing seems to be odd.
pub const WALK_TOKENS_EVERY: Duration = Duration::from_secs(60 * 60);
/// Tokens that one walk through a queue of dead letters takes in hand.
pub const TOKENS_MAX: usize = 100_000;
/// Tokens that are taken in hand, or published, between two signs of life.
pub const TOKENS_AT_ONCE: usize = 1_000;
/// Open dead letters of a target that are compared with its queue.
pub const OPEN_DEAD_LETTERS_MAX: usize = 1_000_000;
/// A process that falls silent while it tidies is relieved after this.
pub const TIDY_LEASE: Duration = Duration::from_secs(15);
/// Days that a closed dead letter is kept.
pub const DEAD_LETTERS_KEPT_DAYS: i32 = 90;
/// Days for which it is known what people did about dead letters and conflicts: a season, and the one before it.
pub const OPERATOR_EVENTS_KEPT_DAYS: i32 = 800;

// --- Budget ------------------------------------------------------------------------------------

/// A process that holds slots says so this often, and learns whether others wait for some.
pub const BUDGET_BEAT: Duration = Duration::from_millis(250);
/// How often a process that waits for its first slot asks again. Each question is one short statement.
pub const BUDGET_POLL: Duration = Duration::from_millis(50);
/// How long a lease of slots lasts, besides the request's deadline where the target counts strictly. As long a database
/// may be away until requests are held back; as long the slots of a process that was killed are missing at others.
pub const BUDGET_LEASE: Duration = Duration::from_secs(3);
/// Slots that are not used for this long are given back.
pub const BUDGET_IDLE: Duration = Duration::from_secs(1);
/// With fewer slots than processes that want some, each goes on to the next process after this.
pub const BUDGET_TURN: Duration = Duration::from_secs(1);
/// How long the others leave room for a process that has said what it wants.
pub const BUDGET_WISH: Duration = Duration::from_secs(1);
/// Longest wait for an answer about slots.
pub const BUDGET_ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Pause after a question about slots that had no answer.
pub const BUDGET_RETRY: Duration = Duration::from_millis(200);
/// How long a token for one request can be used, and how much time's worth of them is taken at once.
pub const BUDGET_TOKEN_KEPT: Duration = Duration::from_millis(100);

// --- Binding -----------------------------------------------------------------------------------

/// How often a process compares where it is with what its targets are bound to, besides whenever a connection or a
/// breaker came back.
pub const BINDING_CHECK_EVERY: Duration = Duration::from_secs(60);
/// After a comparison that could not be made, the first pause; it doubles up to [`RECONNECT_MAX`].
pub const BINDING_RETRY_MIN: Duration = Duration::from_millis(200);
/// How often the epoch is raised while processes run: a backup that is at least so old is noticed.
pub const EPOCH_EVERY: Duration = Duration::from_secs(2 * 60);
/// Pause between two tries to get the lock of the broker's epoch.
pub const EPOCH_LOCK_POLL: Duration = Duration::from_millis(50);

/// How long a server that has said who it is counts as the same: none is exchanged and up again within this.
pub const IDENTITY_PROVEN_FOR: Duration = Duration::from_secs(5);

// --- HTTP --------------------------------------------------------------------------------------

/// Longest wait for a TCP and TLS connection to a remote.
pub const HTTP_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Idle connections are closed before the usual server does it (60 s and more).
pub const HTTP_POOL_IDLE: Duration = Duration::from_secs(30);
/// Bytes of an answer that are read, after decompression. A longer one is a protocol error.
pub const RESPONSE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Concurrent requests to one target over all processes, unless configured.
pub const CONCURRENCY_DEFAULT: usize = 16;
/// Concurrent requests that may be configured.
pub const CONCURRENCY_MAX: usize = 512;
/// `TagServer`'s bulk endpoint takes at most this many bodies (its contract, "Resources").
pub const TAGSERVER_BULK_ROWS: usize = 500;
/// Rows of one page when a `TagServer` resource is listed; its maximum is 2000.
pub const TAGSERVER_PAGE_ROWS: usize = 1_000;
/// Contacts of one page when Mautic is listed.
pub const MAUTIC_PAGE_ROWS: usize = 200;
/// Contacts that are looked up and edited in one call to Mautic; its own limit is 200, and a URL's length is one too.
pub const MAUTIC_BATCH_ROWS: usize = 50;
/// Contacts with one e-mail address or one EMS id that are looked at.
pub const MAUTIC_TWINS_MAX: usize = 20;
/// Contacts on a page of Chatwoot's lists (its contract, section 4): fixed.
pub const CHATWOOT_PAGE_ROWS: usize = 15;
/// Pages that a look-up for one person's contact reads at most.
pub const CHATWOOT_LOOK_UP_PAGES: usize = 10;
/// Labels that are taken of one of Chatwoot's conversations.
pub const CHATWOOT_LABELS_MAX: usize = 100;
/// Conversations that were changed within this are asked for first: what a walk in time needs …
pub const CHATWOOT_WINDOW_MIN: Duration = Duration::from_secs(15 * 60);
/// … up to this. What is older is walked page by page: a window comes as one answer, however large.
pub const CHATWOOT_WINDOW_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// How far a window reaches back before the last walk.
pub const CHATWOOT_OVERLAP: Duration = Duration::from_secs(120);
/// `MailChimp` shows at most this many members or tags at once (its contract, section 8).
pub const MAILCHIMP_PAGE_ROWS: usize = 1_000;
/// Labels of a membership that are brought to `MailChimp`; which tags are ours is remembered in a field of 255 characters.
pub const MAILCHIMP_TAGS_MAX: usize = 40;
/// How long a list's settings that were read count: people may change them.
pub const MAILCHIMP_SETTINGS_FOR: Duration = Duration::from_secs(5 * 60);
/// A create whose answer was lost is looked for among the members that changed within this.
pub const MAILCHIMP_LOST_WITHIN: Duration = Duration::from_secs(24 * 60 * 60);
/// Members of all lists that one walk holds at most: those of several lists are brought together by person.
pub const MAILCHIMP_WALK_MEMBERS_MAX: usize = 500_000;
/// How often a page is begun again because members changed while it was read.
pub const MAILCHIMP_PAGE_TRIES: u32 = 5;
/// RunSignup serves at most two calls at once (its contract, section 3).
pub const RUNSIGNUP_CALLS_MAX: usize = 2;
/// Registrations that a process pushes at once: while one waits for an answer, another may use its call. More would only share the
/// two calls.
pub const RUNSIGNUP_PUSHES_AT_ONCE: usize = 4;
/// Rows of one page of RunSignup's lists; races have at most 1000.
pub const RUNSIGNUP_PAGE_ROWS: usize = 1_000;
/// Pages of races that are read: a list that does not end is an error.
pub const RUNSIGNUP_RACE_PAGES_MAX: usize = 100;
/// Events that one call is asked about.
pub const RUNSIGNUP_EVENTS_AT_ONCE: usize = 50;
/// What was read of a race (its events and questions) is trusted for so long …
pub const RUNSIGNUP_RACE_FRESH: Duration = Duration::from_secs(5 * 60);
/// … and the list of races for so long, where something is missing.
pub const RUNSIGNUP_WALK_TRUSTED: Duration = Duration::from_secs(5);
/// Registrations whose place one process remembers.
pub const RUNSIGNUP_REMEMBERED: usize = 20_000;
/// A registration that we added may be missing from lists for so long.
pub const RUNSIGNUP_HIDDEN_MAX: Duration = Duration::from_secs(60);
/// The registrations of an event are pulled at each interval until it has been over for so long (60 days), then once a day only.
pub const RUNSIGNUP_EVENT_IS_LIVE_FOR_HOURS: i64 = 60 * 24;
/// Transfers of one registration that are followed.
pub const RUNSIGNUP_TRANSFERS_MAX: u32 = 8;

// --- Postgres ----------------------------------------------------------------------------------

/// Connections of one process's pool. With batched statements more of them bring nothing.
pub const POOL_CONNECTIONS: usize = 9;
/// Longest wait for a pooled connection.
pub const POOL_WAIT: Duration = Duration::from_secs(10);
/// Longest statement of the worker.
pub const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait of ours for the answer to a statement: beyond the server's own limit only a dead one is waited for.
pub const STATEMENT_DEADLINE: Duration = Duration::from_secs(35);
/// A pooled connection that was idle for longer is proven by a round trip before it is used …
pub const POOL_IDLE_TRUSTED: Duration = Duration::from_secs(5);
/// … which may take this long.
pub const POOL_PROOF_TIMEOUT: Duration = Duration::from_secs(2);
/// Longest wait for a row lock.
pub const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
/// A transaction that idles longer is ended by the server.
pub const IDLE_IN_TRANSACTION_TIMEOUT: Duration = Duration::from_secs(15);

// --- Sweep -------------------------------------------------------------------------------------

/// Ids that one statement of a sweep covers.
pub const SWEEP_CHUNK_ROWS: i64 = 10_000;
/// Projections that are read and hashed at once by the audit.
pub const AUDIT_CHUNK_ROWS: i64 = 1_000;
/// Slice of the rolling legs (orphans, audit) per periodic sweep and entity type.
pub const SWEEP_SLICE_ROWS: i64 = 20_000;
/// Every row is audited at least once in this time, whatever the slice.
pub const AUDIT_ROUND: Duration = Duration::from_secs(24 * 60 * 60);
/// The watermark stays this much behind the newest safe sample.
pub const WATERMARK_MARGIN: Duration = Duration::from_secs(60);
/// Samples of the watermark that are kept.
pub const WATERMARK_SAMPLES_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// A duty whose holder fell silent is taken over after this.
pub const DUTY_LEASE: Duration = Duration::from_secs(60);
/// A sweep that failed is tried again after this: neither for ever at once, nor only after its interval. Where two processes take
/// turns at failing, one of them has failed twice within two minutes.
pub const DUTY_AGAIN_AFTER: Duration = Duration::from_secs(30);

/// Days that a record outlives its entity, so that nothing that comes late brings it back.
pub const TOMBSTONES_KEPT_DAYS: u16 = 90;
/// How often old tombstones are looked for.
pub const TOMBSTONES_PURGED_EVERY: Duration = Duration::from_secs(60 * 60);
/// Tombstones that one statement drops.
pub const TOMBSTONES_PURGED_AT_ONCE: i64 = 5_000;
/// Batches of tombstones that one run drops at most; the rest goes with the next.
pub const TOMBSTONE_BATCHES_MAX: u32 = 200;
/// Rows that `verify` shows; what it counts is not bounded by it.
pub const VERIFY_ROWS_SHOWN: i64 = 10_000;
/// Findings that a repair owes in one transaction.
pub const VERIFY_REPAIR_ROWS: i64 = 1_000;

// --- Inbound -----------------------------------------------------------------------------------

/// A record that people changed at the remote is read again after this, should the inbound decision about it not come first.
pub const CHANGED_THERE_LOOKS_AGAIN_AFTER: Duration = Duration::from_secs(4);
/// Rows of the inbox that one batch decides at once, each in a transaction of its own: some of the pool's connections are left.
pub const INBOUND_AT_ONCE: usize = 4;
/// A row of the inbox whose values the EMS can't take is left to a person after this many attempts.
pub const INBOUND_ATTEMPTS_MAX: i32 = 8;
/// A row whose record is being pushed is looked at again after this, should the push's end not make it due.
pub const INBOUND_LATER_AFTER: Duration = Duration::from_secs(10);
/// A row that waits for its parent, or that can't be decided, is looked at ever later, but at least this often.
pub const INBOUND_WAITS_MAX: Duration = Duration::from_secs(60 * 60);
/// … and first after this: its parent may have been decided in the same moment, and have seen nobody wait.
pub const INBOUND_WAITS_MIN: Duration = Duration::from_secs(1);
/// How often a row is read anew, since a push has ended meanwhile, before it is put aside for a while.
pub const INBOUND_REREADS_MAX: u32 = 3;
/// Candidates that are looked for, and kept for a person, of a remote record that nobody knows.
pub const INBOUND_CANDIDATES_MAX: i64 = 10;
/// A remote record that would be an entity's second one waits so long for the first one's removal; then a person is asked.
pub const SECOND_RECORD_WAITS: Duration = Duration::from_secs(10 * 60);
/// A walk over what has changed reaches back by this much beyond the newest change that was seen: some are shown late.
pub const PULL_OVERLAP: Duration = Duration::from_secs(120);
/// Characters of one text that is taken in from a remote; what is longer is cut.
pub const INBOUND_TEXT_CHARS_MAX: usize = 1_000;
/// Everything is walked through at least this often, whatever is said to have changed.
pub const FULL_WALK_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// A walk whose position is older is begun anew: too much may have moved since.
pub const WALK_POSITION_KEPT: Duration = Duration::from_secs(60 * 60);
/// A process that falls silent while it walks is relieved after this …
pub const WALK_LEASE: Duration = Duration::from_secs(30);
/// … and says this often that it has not.
pub const WALK_KEPT_EVERY: Duration = Duration::from_secs(8);
/// Pages of one walk: one that does not end is an error.
pub const WALK_PAGES_MAX: u32 = 1_000_000;
/// A walk that ended early is gone on with after this; it doubles …
pub const WALK_AGAIN_MIN: Duration = Duration::from_secs(15);
/// … up to this.
pub const WALK_AGAIN_MAX: Duration = Duration::from_secs(10 * 60);
/// Walks that ended early in a row until a person is told.
pub const WALK_FAILURES_TOLD: i32 = 5;
/// How often hints, and walks that ended early, are looked for.
pub const INBOUND_LOOK_EVERY: Duration = Duration::from_secs(1);
/// A hint leads to no walk sooner than this after the last one: a busy desk hints every second.
pub const HINTED_WALK_EVERY: Duration = Duration::from_secs(15);
/// Records that one pass reads by themselves; the rest is read in the next one.
pub const INBOUND_READS_MAX: i64 = 200;
/// Records that are read by themselves at the same time.
pub const INBOUND_READS_AT_ONCE: usize = 4;
/// Another process may read a record by itself that was taken by one which has not said for so long what came of it.
pub const INBOUND_READ_LEASE: Duration = Duration::from_secs(5 * 60);
/// A record that could not be read is tried again after this; it doubles …
pub const INBOUND_READ_AGAIN_MIN: Duration = Duration::from_secs(10);
/// … up to this …
pub const INBOUND_READ_AGAIN_MAX: Duration = Duration::from_secs(60 * 60);
/// … and given up after so many tries: walks show it, or miss it again.
pub const INBOUND_READ_TRIES: i32 = 10;
/// Records that webhooks named and that wait to be read; with more of them everything is walked through.
pub const HINTS_WAITING_MAX: i64 = 1_000;
/// How often what came back and is of no more use is dropped.
pub const INBOUND_PURGED_EVERY: Duration = Duration::from_secs(24 * 60 * 60);
/// For how long a conflict that was decided can be looked at.
pub const CONFLICTS_KEPT_DAYS: u16 = 90;
/// For how long the values of a conflict are kept whose person the EMS has not any more.
pub const GONE_VALUES_KEPT_DAYS: u16 = 7;
/// Rows of each kind that one statement drops.
pub const INBOUND_PURGED_AT_ONCE: i64 = 5_000;
/// A remote's clock is compared only by an answer that took no longer …
pub const CLOCK_ROUND_TRIP_MAX: Duration = Duration::from_secs(10);
/// … and not believed when it differs from the database's by more.
pub const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Longest wait of `sweep inbound` for a walk of another process.
pub const SWEEP_NOW_WAITS: Duration = Duration::from_secs(5 * 60);
/// Conflicts that are listed, unless it is said how many.
pub const CONFLICTS_SHOWN: i64 = 1_000;
/// Length of a webhook's body. Chatwoot's hold a contact or a conversation with its last message.
pub const HOOK_BYTES_MAX: usize = 1024 * 1024;
/// Its body has come within this; it holds a slot until then.
pub const HOOK_BODY_WITHIN: Duration = Duration::from_secs(2);
/// Webhooks that are read and checked at once; the others are told to come later, and walks find what they would have said.
pub const HOOKS_AT_ONCE: usize = 8;
/// By how much the time of a webhook's signature may differ from ours.
pub const HOOK_AGE_MAX: Duration = Duration::from_secs(300);
/// How long a webhook is remembered: it may be signed for a moment to come, and is accepted for as long after it.
pub const HOOK_REMEMBERED: Duration = Duration::from_secs(2 * 300 + 60);

// --- Operations --------------------------------------------------------------------------------

/// How long a consumer that leaves waits for what it has begun before it cancels: what ends later may have a message delivered again.
pub const LEAVE_AFTER: Duration = Duration::from_secs(10);
/// When nothing has come for so long, nothing is on its way from the broker; nor to it, after the last ack.
pub const ON_ITS_WAY_FOR: Duration = Duration::from_millis(100);
/// For such a moment a consumer that leaves waits at most so long.
pub const ON_ITS_WAY_MAX: Duration = Duration::from_millis(300);
/// How long nothing is published to a target's queues after a consumer of it has said that it leaves.
pub const PUBLISHING_PAUSED_FOR: Duration = Duration::from_millis(500);
/// How long a stop may take: nothing new is taken, what is in flight is finished or left to the others.
pub const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(25);
/// How long a process that has ended waits for its last spans to be sent.
pub const TRACES_FLUSHED_WITHIN: Duration = Duration::from_secs(3);
/// Actions of the console that are under way at once. Each holds a connection of the pool, which `/readyz` and the other roles need.
pub const CONSOLE_ACTIONS_AT_ONCE: usize = 2;
/// Orders to targets that are under way at once: who pauses one in an emergency waits for no other action.
pub const CONSOLE_ORDERS_AT_ONCE: usize = 1;
/// So long a process that stops waits for the actions that are under way, after the last answers to open requests …
pub const CONSOLE_ACTIONS_END_WITHIN: Duration = Duration::from_secs(20);
/// … which have this long.
pub const OPEN_REQUESTS_END_WITHIN: Duration = Duration::from_secs(3);
/// Searches and explanations that are under way at once, of the console and the API.
pub const QUESTIONS_AT_ONCE: usize = 2;
/// So long the next one waits before it is told to come later.
pub const QUESTION_WAITS: Duration = Duration::from_secs(2);
/// What is told to come later is told to do so after this.
pub const COME_LATER: Duration = Duration::from_secs(5);
/// Targets that an explanation looks at side by side; each look holds a connection of the pool.
pub const EXPLAIN_TARGETS_AT_ONCE: usize = 2;
/// What the guard holds, of each type or kind, that a person is shown at once.
pub const HELD_SHOWN: i64 = 200;
/// Lines of the audit trail that a person is shown at once.
pub const AUDIT_SHOWN: i64 = 200;
/// Dead letters on one page of the console.
pub const DEAD_LETTERS_ON_PAGE: u32 = 100;
/// Dead letters in one document of the API.
pub const DEAD_LETTERS_IN_DOCUMENT: u32 = 1_000;
/// How long a login to the console lasts: an event day, and less than two.
pub const CONSOLE_LOGIN_LASTS: Duration = Duration::from_secs(16 * 60 * 60);
/// What could be pushed and is not for this long, while nothing else is either, needs a person.
pub const NOT_MOVING_AFTER: Duration = Duration::from_secs(10 * 60);
/// A change that is in the outbox for so long needs a person, whatever moves besides: an import that ran for a while before it was
/// committed is gone from there by then.
pub const OUTBOX_STUCK_AFTER: Duration = Duration::from_mins(30);
/// A sweep that has not come to its end for this many of its intervals needs a person.
pub const SWEEPS_MISSED_MAX: u32 = 3;
/// A duty without progress for this long makes `/readyz` red.
pub const READY_SILENCE_MAX: Duration = Duration::from_secs(60);
/// The failures of a part are over when none has come for this long: somebody else has done the work.
pub const FAILURES_FORGOTTEN_AFTER: Duration = Duration::from_secs(2 * 60);
/// Length of an error text that is kept in a record.
pub const ERROR_TEXT_CHARS_MAX: usize = 500;
/// Entities of one e-mail address or bib number that are explained, the newest; `sql/projections/lookup.sql` finds one more.
pub const EXPLAIN_FOUND_MAX: usize = 20;
/// Attempts that `explain` shows per target.
pub const EXPLAIN_ATTEMPTS: i64 = 10;
/// Days that the audit trail of attempts is kept.
pub const ATTEMPTS_KEPT_DAYS: i32 = 14;
/// How often its daily partitions are looked after; they are made two days ahead.
pub const KEEP_ATTEMPTS_EVERY: Duration = Duration::from_secs(60 * 60);

const _: () = {
    assert!(QUEUE_SHORT < QUEUE_FULL);
    assert!(ON_ITS_WAY_FOR.as_millis() < ON_ITS_WAY_MAX.as_millis());
    assert!(ON_ITS_WAY_MAX.as_millis() < PUBLISHING_PAUSED_FOR.as_millis());
    assert!(LEAVE_AFTER.as_secs() < SHUTDOWN_DEADLINE.as_secs());
    assert!(
        OPEN_REQUESTS_END_WITHIN.as_secs() + CONSOLE_ACTIONS_END_WITHIN.as_secs()
            < SHUTDOWN_DEADLINE.as_secs()
    );
    // Whatever people do and ask, a connection is left for `/readyz`, and one for the rest.
    assert!(
        CONSOLE_ACTIONS_AT_ONCE
            + CONSOLE_ORDERS_AT_ONCE
            + QUESTIONS_AT_ONCE * EXPLAIN_TARGETS_AT_ONCE
            + 2
            <= POOL_CONNECTIONS
    );
    assert!(BATCH_DELIVERIES * (BATCHES_IN_FLIGHT + 1) <= usize_of(PREFETCH));
    assert!(LEASE_MIN.as_secs() >= 30);
    assert!(IDLE_IN_TRANSACTION_TIMEOUT.as_secs() > BROKER_CALL_TIMEOUT.as_secs());
    assert!(STATEMENT_TIMEOUT.as_secs() > LOCK_TIMEOUT.as_secs());
    assert!(STATEMENT_DEADLINE.as_secs() > STATEMENT_TIMEOUT.as_secs());
    assert!(READY_SILENCE_MAX.as_secs() > STATEMENT_DEADLINE.as_secs());
    assert!(FAILURES_FORGOTTEN_AFTER.as_secs() > 3 * DUTY_AGAIN_AFTER.as_secs());
    assert!(BREAKER_PAUSE_MIN.as_secs() < BREAKER_PAUSE_MAX.as_secs());
    // What fails again after each probe must not be taken for a new episode.
    assert!(BREAKER_PAUSE_MAX.as_secs() * 2 <= BREAKER_CALM.as_secs());
    assert!(THROTTLE_MIN.as_secs() < LEARNT_PAUSE_MIN.as_secs());
    assert!(LEARNT_PAUSE_MIN.as_secs() < THROTTLE_MAX.as_secs());
    assert!(BROKER_HEARTBEAT_SECONDS >= 2);
    // Two signs of life may be lost.
    assert!(WALK_KEPT_EVERY.as_secs() * 3 <= WALK_LEASE.as_secs());
    assert!(HOOK_AGE_MAX.as_secs() * 2 < HOOK_REMEMBERED.as_secs());
    // A lease outlives a question without an answer, and a wish some questions.
    assert!(BUDGET_BEAT.as_millis() + BUDGET_ANSWER_WITHIN.as_millis() < BUDGET_LEASE.as_millis());
    assert!(BUDGET_POLL.as_millis() * 4 <= BUDGET_WISH.as_millis());
    assert!(BUDGET_BEAT.as_millis() * 2 <= BUDGET_WISH.as_millis());
    // A look-up of a batch is answered whole, twins included.
    assert!(MAUTIC_BATCH_ROWS * 2 <= MAUTIC_PAGE_ROWS);
};

#[expect(clippy::as_conversions, reason = "widening; `usize::from` is not const")]
const fn usize_of(n: u16) -> usize {
    n as usize
}
