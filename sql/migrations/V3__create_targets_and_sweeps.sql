-- What people and the breaker decided about a target; read by every process within a second.
create table sync.target (
    target            text primary key check (target in ('tagserver', 'mautic', 'mailchimp', 'runsignup', 'chatwoot')),
    paused_on         timestamptz,
    disabled_on       timestamptz,
    disabled_reason   text,
    breaker           text        not null default 'closed' check (breaker in ('closed', 'open', 'half_open')),
    breaker_until     timestamptz,
    breaker_failures  integer     not null default 0,
    breaker_opened_on timestamptz,
    throttled_until   timestamptz,
    last_error        text,
    updated_on        timestamptz not null default clock_timestamp(),
    updated_by        text
);
insert into sync.target (target) values ('tagserver'), ('mautic'), ('mailchimp'), ('runsignup'), ('chatwoot');
comment on table sync.target is 'State of each target, shared by all processes.';

-- One row per periodic duty: who does it now, and when it was last begun and finished.
create table sync.duty (
    duty        text not null,
    target      text not null,
    started_on  timestamptz,
    finished_on timestamptz,
    owner       uuid,
    lease_until timestamptz,
    found       bigint not null default 0,
    primary key (duty, target)
);
comment on table sync.duty is 'Periodic duties (sweeps, the republish scan): their lease and their last run.';

-- Samples of (clock, xmax): the outbound sweep may advance its watermark to one whose horizon (xmax) is
-- at or below today's xmin, since every transaction that could have stamped before it has ended.
create table sync.watermark_sample (
    sampled_on timestamptz primary key default clock_timestamp(),
    horizon    xid8 not null
);
comment on table sync.watermark_sample is 'Clock and transaction horizon at each sweep, for the watermark.';

create table sync.watermark (
    target      text        not null,
    entity_type text        not null,
    modified_on timestamptz,
    -- Keyset positions of the rolling legs: orphans (3) and audit (4).
    orphan_id   bigint      not null default 0,
    audit_id    bigint      not null default 0,
    primary key (target, entity_type)
);
comment on table sync.watermark is 'How far the outbound sweep has read, per target and entity type.';
