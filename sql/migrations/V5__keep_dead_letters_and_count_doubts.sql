-- Deliveries that need a person. This table is authoritative; a message in <prefix>.<target>.dead is its token.
create table sync.dead_letter (
    dead_letter_id  bigint generated always as identity primary key,
    target          text collate "C" not null,
    -- Null where a message could not be decoded: nobody knows which entity it meant.
    entity_type     text collate "C",
    entity_id       bigint,

    reason          text        not null,
    error           text,
    cause           text        not null default 'change',
    changed_on      timestamptz,
    traceparent     text,
    attempts        integer     not null default 0,
    cycles          integer     not null default 1,
    first_failed_on timestamptz not null default clock_timestamp(),
    last_failed_on  timestamptz not null default clock_timestamp(),
    next_try_on     timestamptz,

    replayed_on     timestamptz,
    replayed_by     text,
    closed_on       timestamptz,
    closed_by       text,
    outcome         text check (outcome in ('resolved', 'discarded')),
    token_on        timestamptz,

    message_digest  bytea,
    message_bytes   integer,

    check ((closed_on is null) = (outcome is null)),
    check ((entity_type is null) = (entity_id is null)),
    check ((entity_type is null) = (message_digest is not null))
);
create unique index dead_letter_open on sync.dead_letter (target, entity_type, entity_id)
    where closed_on is null and entity_type is not null;
create unique index dead_letter_open_message on sync.dead_letter (target, message_digest)
    where closed_on is null and message_digest is not null;
create index dead_letter_due on sync.dead_letter (target, next_try_on) where closed_on is null;
create index dead_letter_without_token on sync.dead_letter (target, first_failed_on)
    where closed_on is null and token_on is null;
create index dead_letter_entity on sync.dead_letter (target, entity_type, entity_id);
create index dead_letter_token on sync.dead_letter (target) where token_on is not null and closed_on is not null;
create index dead_letter_closed on sync.dead_letter (closed_on) where closed_on is not null;

comment on table sync.dead_letter is 'Dead letters: at most one open per target and entity.';
comment on column sync.dead_letter.reason is 'The failure class, or unmappable, or undecodable.';
comment on column sync.dead_letter.attempts is 'Attempts of all its cycles.';
comment on column sync.dead_letter.cycles is 'Failed cycles since it was opened.';
comment on column sync.dead_letter.next_try_on is 'From when a sweep makes another attempt; null: not before a change or a replay.';
comment on column sync.dead_letter.replayed_on is 'When a person put it back; null again when it failed once more.';
comment on column sync.dead_letter.token_on is 'When the broker confirmed its token. Set on a closed one: the token is still to be removed.';
comment on column sync.dead_letter.message_digest is 'SHA-256 of a message that could not be decoded; its content is kept nowhere.';

-- What failed for good before there was this table.
insert into sync.dead_letter (target, entity_type, entity_id, reason, error, cause, changed_on, traceparent, attempts,
                              first_failed_on, last_failed_on, next_try_on)
select r.target, r.entity_type, r.entity_id, coalesce(r.state_reason, 'transient'), r.last_error, r.cause, r.owed_on,
       r.traceparent, r.attempts, r.dead_lettered_on, r.dead_lettered_on,
       case when r.state = 'dead_letter' then clock_timestamp() end
from sync.record r
where r.dead_lettered_on is not null;

alter table sync.record add column doubts bigint not null default 0;
comment on column sync.record.doubts is
    'How often somebody other than the holder of the lease raised a doubt: a finish that began before clears none of them.';
