-- How many records are in which state (`kept`: a person rejected their deletion; what a person has discarded is skipped),
-- and how old the oldest change is that
-- can still be pushed; for how long the one that has waited longest could have been, and how long ago anything was settled.
select r.target,
       case when r.state = 'rejected' and r.state_reason = 'discarded' then 'skipped' else r.state end as state,
       count(*) as records,
       count(*) filter (where r.owed_gen > r.done_gen) as owed,
       count(*) filter (where r.state = 'held' and r.state_reason = 'delete_rejected') as kept,
       extract(epoch from clock_timestamp() - min(r.owed_on) filter (
           where r.owed_gen > r.done_gen and r.state not in ('rejected', 'held')))::float8 as oldest_seconds,
       extract(epoch from clock_timestamp() - min(greatest(r.due_on, r.owed_on)) filter (
           where r.owed_gen > r.done_gen and r.due_on < 'infinity'
             and coalesce(r.lease_until <= clock_timestamp(), true)))::float8 as due_seconds,
       extract(epoch from clock_timestamp() - max(r.settled_on))::float8 as settled_seconds
from sync.record r
group by 1, 2
