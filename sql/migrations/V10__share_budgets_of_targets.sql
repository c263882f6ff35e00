-- How many requests may be under way at a target at once, and how many may be sent per second, over all processes.
-- The row of a target is also the lock under which its shares change; no statement holds it for longer than itself.
create table sync.budget (
    target  text primary key references sync.target,
    next_on timestamptz not null default '-infinity'
) with (fillfactor = 50);
insert into sync.budget (target) select target from sync.target;
comment on table sync.budget is 'The request budget of each target.';
comment on column sync.budget.next_on is 'The next request may be sent then, where requests per second are bounded.';

create table sync.budget_share (
    target       text        not null references sync.budget,
    owner        uuid        not null,
    asked        bigint      not null,
    slots        integer     not null check (slots >= 0),
    until        timestamptz not null,
    wanted       integer     not null check (wanted >= 0),
    wanted_until timestamptz not null,
    turn_on      timestamptz not null,
    served_on    timestamptz not null,
    primary key (target, owner)
) with (fillfactor = 50);
comment on table sync.budget_share is 'What each process has of a target''s slots. The living shares never exceed the target''s concurrency.';
comment on column sync.budget_share.owner is 'A process; each start has a new one.';
comment on column sync.budget_share.asked is 'Number of its last question: one that comes late changes nothing any more.';
comment on column sync.budget_share.slots is 'Requests that it may have under way at once.';
comment on column sync.budget_share.until is 'The lease of all of its slots. None of its requests is under way after this, where the target counts strictly.';
comment on column sync.budget_share.wanted is 'Slots that it has use for.';
comment on column sync.budget_share.wanted_until is 'Who wants has to say so again by then.';
comment on column sync.budget_share.turn_on is 'Since when it has its last slot.';
comment on column sync.budget_share.served_on is 'When it last had what it wanted, or its turn: who waits for longest is next.';
