-- Leg 1: target $1, type $2, records after id $3, $4 of them, that were out of scope. `found`: they no longer are, of every parent of one
-- of the types $5, which are the target's own, the record is known there by now. A key that is none is of no record. Owed from now on.
with skipped as materialized (
    select r.entity_id
    from sync.record r
    where r.target = $1 and r.entity_type = $2 and r.entity_id > $3 and r.state = 'skipped' and r.state_reason = 'out_of_scope'
    order by r.entity_id
    limit $4
)
select s.entity_id as id, clock_timestamp() as modified_on,
       p.id is not null and not exists (
           select from unnest(p.parents) as parent (key)
           where split_part(parent.key, ':', 1) = any ($5)
             and not exists (
                 select from sync.record o
                 where o.target = $1 and o.entity_type = split_part(parent.key, ':', 1)
                   and o.entity_id = case when parent.key ~ '^[a-z_]+:[0-9]{1,18}$' then split_part(parent.key, ':', 2)::bigint end
                   and o.remote_id is not null)) as found
from skipped s
left join {projection} p on p.id = s.entity_id
order by s.entity_id
