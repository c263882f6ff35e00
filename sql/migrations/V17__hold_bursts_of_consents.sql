-- A restriction is known by the remote record that shows it, since several records may carry one EMS id: one of them restricted and
-- another not. What was noted without is forgotten: no version that notes it has been released.
delete from sync.consent_seen;
alter table sync.consent_seen add column record text not null;
alter table sync.consent_seen drop constraint consent_seen_pkey, add primary key (target, person_id, subject, record);
comment on column sync.consent_seen.record is 'The remote record that shows it. When that shows none any more the row goes, and the next one is a new one.';

-- The guard (G10) of what comes back: restrictions that are too many at once are kept for a person, and not taken.
create table sync.consent_held (
    target      text collate "C" not null,
    person_id   bigint      not null,
    subject     text collate "C" not null,
    record      text        not null,
    state       text        not null,
    said_on     timestamptz not null,
    held_on     timestamptz not null default clock_timestamp(),
    rejected_on timestamptz,
    primary key (target, person_id, subject, record)
);
comment on table sync.consent_held is 'Restrictions of a burst at a remote that wait for a person, or that a person has rejected.';
comment on column sync.consent_held.rejected_on is 'A person does not want it: it is not taken unless it changes there. Null: nobody has decided.';

create table sync.inbound_guard (
    target            text not null references sync.target (target),
    what              text collate "C" not null check (what in ('consents')),
    window_started_on timestamptz,
    let_through       bigint not null default 0,
    records           bigint not null default 0,
    primary key (target, what)
);
insert into sync.inbound_guard (target, what) select target, 'consents' from sync.target;
comment on table sync.inbound_guard is 'What each target was allowed to take away in the EMS; its row is locked while that is weighed.';
comment on column sync.inbound_guard.let_through is 'How much was let through in the window. What a person approved is not counted.';
comment on column sync.inbound_guard.records is 'The most that the EMS was seen to have of it in the window: what a share is a share of.';
