-- The audit trail of attempts: what was tried, how it ended; never what was sent.
create table sync.attempt (
    attempted_on timestamptz not null default clock_timestamp(),
    target       text        not null,
    entity_type  text        not null,
    entity_id    bigint      not null,
    decision     text        not null,
    outcome      text        not null,
    class        text,
    error        text,
    attempt      integer     not null,
    duration_ms  integer     not null,
    fence        bigint      not null
) partition by range (attempted_on);
create table sync.attempt_rest partition of sync.attempt default;
create index attempt_entity on sync.attempt (target, entity_type, entity_id, attempted_on desc);
comment on table sync.attempt is 'Audit trail of attempts, without payloads.';
