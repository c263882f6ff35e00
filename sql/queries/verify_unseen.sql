-- Entities that target $2's projection of type $3 shows after id $5, $6 of them, and that walk $1 has not seen, with their
-- records; what was pushed since $4.
select p.id as entity_id, r.entity_id is not null as has_record, r.remote_id,
       coalesce(r.owed_gen > r.done_gen, false) as is_owed,
       coalesce(r.entity_synced_on >= $4, false) as was_pushed_since,
       coalesce(r.state, 'pending') as state, r.state_reason, r.data_hash, r.remote_hash
from {projection} p
left join sync.record r on r.target = $2 and r.entity_type = $3 and r.entity_id = p.id
where p.id > $5
  and not exists (select 1 from sync.verify_row v where v.run = $1 and v.entity_type = $3 and v.entity_id = p.id)
order by p.id
limit $6
