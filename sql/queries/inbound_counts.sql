-- What comes back from each target: rows of the inbox by state (put_off: what failed, and is older than $1 seconds; held_removals:
-- what the guard holds; kept_removals: what a person has rejected), open conflicts, and how its walks are.
select t.target,
       coalesce(i.pending, 0) as pending, coalesce(i.waiting, 0) as waiting,
       coalesce(i.put_off, 0) as put_off, coalesce(i.held, 0) as held, coalesce(i.rejected, 0) as rejected,
       coalesce(i.held_removals, 0) as held_removals, coalesce(i.kept_removals, 0) as kept_removals,
       (select count(*) from sync.conflict c where c.target = t.target and c.closed_on is null) as conflicts,
       (select count(*) from sync.consent_held h where h.target = t.target and h.rejected_on is null) as held_consents,
       coalesce(w.failures, 0) as failures, w.last_error, w.held_reason
from sync.target t
left join (
    select i.target,
           count(*) filter (where i.state = 'pending') as pending,
           count(*) filter (where i.state = 'waiting') as waiting,
           count(*) filter (where i.state in ('pending', 'waiting') and i.state_reason = 'failed'
                                  and i.created_on < clock_timestamp() - $1 * interval '1 second') as put_off,
           count(*) filter (where i.state = 'held') as held,
           count(*) filter (where i.state = 'held' and i.state_reason = 'guard') as held_removals,
           count(*) filter (where i.state = 'held' and i.state_reason = 'guard_rejected') as kept_removals,
           count(*) filter (where i.state = 'rejected') as rejected
    from sync.inbox i where i.state <> 'done' group by i.target
) i on i.target = t.target
left join (
    select c.target, max(c.failures) as failures, max(c.last_error) filter (where c.failures > 0) as last_error,
           max(c.held_reason) as held_reason
    from sync.cursor c group by c.target
) w on w.target = t.target
