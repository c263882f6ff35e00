-- Leg 1: target $1, type $2, records after id $3, $4 of them, that were out of scope and no longer are: of every parent of one of the
-- types $5, which are the target's own, the record is known there by now.
select p.id, p.modified_on, true as found
from sync.record r
join {projection} p on p.id = r.entity_id
where r.target = $1 and r.entity_type = $2 and r.entity_id > $3
  and r.state = 'skipped' and r.state_reason = 'out_of_scope'
  and not exists (
      select from unnest(p.parents) as parent (key)
      where split_part(parent.key, ':', 1) = any ($5)
        and not exists (
            select from sync.record o
            where o.target = $1 and o.entity_type = split_part(parent.key, ':', 1) and o.entity_id = split_part(parent.key, ':', 2)::bigint
              and o.remote_id is not null))
order by r.entity_id
limit $4
