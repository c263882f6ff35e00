//! Until nothing is left to be done on either side.

use std::time::Duration;

use ems_sync_remotes::chatwoot::Resource;
use tokio::time::Instant;

use super::bench::Both;
use super::there::CHATWOOT;
use crate::support::rig::PATIENCE;

impl Both {
    /// Waits until nothing is owed, and nothing that was pulled is undecided. Gives up if nothing moves for a long time, or all of it
    /// takes far longer.
    pub(super) async fn at_rest(&self) {
        let sql = "select (select count(*) from sync.outbox),
                          (select count(*) from sync.record where owed_gen > done_gen and due_on < 'infinity'),
                          (select count(*) from sync.inbox where state in ('pending', 'waiting')),
                          (select count(*) from sync.to_read),
                          (select coalesce(sum(done_gen), 0)::bigint from sync.record)";
        let (began, mut moved, mut stood) = (Instant::now(), Instant::now(), [-1; 5]);
        loop {
            let row = self.five.rig.ems.query_one(sql, &[]).await.unwrap();
            let stands = [0, 1, 2, 3, 4].map(|column| row.get::<_, i64>(column));
            if stands[..4].iter().all(|left| *left == 0) {
                return;
            }
            if stands[2] > 0 && stands[0] + stands[1] + stands[3] == 0 {
                self.ten_minutes_pass().await;
            }
            if stands != stood {
                (stood, moved) = (stands, Instant::now());
            }
            let is_stuck = moved.elapsed() > PATIENCE || began.elapsed() > 10 * PATIENCE;
            assert!(!is_stuck, "It comes not to rest: {:#?}", self.open().await);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// What seems to be an entity's second record waits for ten minutes for the removal of the first one. Where that stands they are over
    /// now, and a person is asked.
    async fn ten_minutes_pass(&self) {
        let sql = "select i.inbox_id, i.target, r.remote_id::bigint from sync.inbox i
                   join sync.record r on r.target = i.target and r.entity_type || ':' || r.entity_id = i.waits_for
                   where i.state_reason = 'waiting_for_removal' and i.entity_type in ('person', 'event_participant')
                     and r.remote_id is not null and i.created_on > now() - interval '10 minutes'";
        for row in self.five.rig.ems.query(sql, &[]).await.unwrap() {
            let (inbox_id, target, other): (i64, &str, i64) = (row.get(0), row.get(1), row.get(2));
            let stands = match target {
                CHATWOOT => self.five.chatwoot.row_by_id(Resource::Contact, other).is_some(),
                _ => self.five.runsignup.registration(other).is_some_and(|row| row.active),
            };
            if stands {
                self.five.rig
                    .exec(&format!(
                        "update sync.inbox set created_on = now() - interval '11 minutes', due_on = now() where inbox_id = {inbox_id}"
                    ))
                    .await;
            }
        }
    }

    /// What is not done, for a message. Of a second record a person has been asked.
    pub(super) async fn open(&self) -> Vec<String> {
        let mut open = self.five.states().await;
        let sql = "select concat_ws(' ', 'inbox', target, entity_type, remote_id, entity_id, shape, state, state_reason, waits_for, last_error)
                   from sync.inbox i where state <> 'done' and not exists (
                       select from sync.conflict c where (c.target, c.entity_type, c.remote_id) = (i.target, i.entity_type, i.remote_id)
                       and c.closed_on is null and c.reason = 'ambiguous' and cardinality(c.candidates) = 1)
                   union all select concat_ws(' ', 'to read', t::text) from sync.to_read t";
        open.extend(self.texts(sql).await.into_iter().take(30));
        open
    }

    /// A full walk over every remote, and a full comparison outward.
    pub(super) async fn sweep(&self) {
        let (code, out) = self.five.rig.run(&["sweep", "inbound", "--json"]).await;
        assert_eq!(code, 0, "{out}");
        self.at_rest().await;
        let (code, out) = self.five.rig.run(&["sweep", "outbound"]).await;
        assert_eq!(code, 0, "{out}");
        self.at_rest().await;
    }

    /// Sweeps until two in a row have written nothing anywhere.
    pub(super) async fn assert_comes_to_rest(&self) {
        self.at_rest().await;
        for round in 0.. {
            let before = (self.versions().await, self.writes());
            self.sweep().await;
            if before == (self.versions().await, self.writes()) {
                break;
            }
            assert!(round < 4, "each sweep writes: {before:?}, {:?}", self.writes());
        }
        let before = (self.versions().await, self.writes());
        for _ in 0..2 {
            self.sweep().await;
            let after = (self.versions().await, self.writes());
            let last = self
                .texts("select concat(by_us, row) from public.history order by n desc limit 5")
                .await;
            assert_eq!(before, after, "a sweep over what agrees writes nothing: {last:#?}");
        }
    }
}
