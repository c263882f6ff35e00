-- The whole state machine of a target's breaker (src/deliver/breaker/rule.rs), shared by all processes.
alter table sync.target
    add column version         bigint           not null default 0,
    add column closed_on       timestamptz,
    add column on_trial        boolean          not null default false,
    add column failing_since   timestamptz,
    add column failed_on       timestamptz,
    add column streak          text[]           not null default '{}',
    add column window_since    timestamptz,
    add column window_served   integer          not null default 0,
    add column window_failed   integer          not null default 0,
    add column window_entities text[]           not null default '{}',
    add column learnt_pause    double precision not null default 0;
comment on column sync.target.version is 'Grows with every change; changes compare it and set it, so that none is lost.';
comment on column sync.target.closed_on is 'When the breaker was closed last: a slow start begins here.';
comment on column sync.target.on_trial is 'Closed, but no push was served since: few go out, and the first failure opens it again.';
comment on column sync.target.failing_since is 'Nothing but failures since then.';
comment on column sync.target.streak is 'Entities that failed with no success in between.';
comment on column sync.target.window_since is 'Pushes are counted from here; null: none failed lately.';
comment on column sync.target.learnt_pause is 'Seconds; what a target gets that asks for a pause without saying how long.';

-- Who did what to a target, written with the change itself.
create table sync.target_event (
    target_event_id bigint generated always as identity primary key,
    target          text collate "C" not null,
    happened_on     timestamptz not null default clock_timestamp(),
    -- The target's version after it.
    version         bigint      not null,
    event           text        not null,
    reason          text,
    by              text        not null
);
create index target_event_target on sync.target_event (target, target_event_id);
comment on table sync.target_event is 'Orders of people and moves of the breaker: what, when, why, by whom.';
