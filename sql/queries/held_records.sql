-- What the guard holds of type $2 at target $1, $3 at most, the undecided first: the entity is gone (a delete), or what its
-- remote record would lose, by the names of its fields and consents.
select r.entity_type, r.entity_id, r.remote_id, r.gone, r.state_reason = 'delete_rejected' as kept, r.owed_on,
       case when r.gone then '{}'::text[] else array(
           select c.name from unnest(r.consents) as c (name) where sync.lessens('{}', array[c.name], to_jsonb(p))
           union all
           select h.name from unnest(r.holds) as h (name) where sync.lessens(array[h.name], '{}', to_jsonb(p))) end as loses
from sync.record r
left join {projection} p on p.id = r.entity_id
where r.target = $1 and r.entity_type = $2 and r.state = 'held' and r.state_reason in ('guard', 'delete_rejected')
order by r.state_reason = 'delete_rejected', r.entity_id
limit $3
