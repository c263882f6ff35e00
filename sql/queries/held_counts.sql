-- What the guard holds of target $1 for a person: how much of what kind, and of what people have decided already (`kept`).
select r.entity_type, case when r.gone then 'delete' else 'lessen' end as kind, r.state_reason = 'delete_rejected' as kept,
       count(*) as n
from sync.record r
where r.target = $1 and r.state = 'held' and r.state_reason in ('guard', 'delete_rejected')
group by 1, 2, 3
union all
select i.entity_type, 'removal', i.state_reason = 'guard_rejected', count(*)
from sync.inbox i
where i.target = $1 and i.state = 'held' and i.shape = 'removed' and i.state_reason in ('guard', 'guard_rejected')
group by 1, 3
union all
select 'person', 'consent', h.rejected_on is not null, count(*)
from sync.consent_held h
where h.target = $1
group by 3
order by 3, 2, 1
