-- Records of target $1 and type $2 with ids $3 or remote ids $4; what was pushed since $5.
select r.entity_id, r.remote_id, r.owed_gen > r.done_gen as is_owed,
       coalesce(r.entity_synced_on >= $5, false) as was_pushed_since, r.state, r.state_reason,
       r.data_hash, r.remote_hash
from sync.record r
where r.target = $1 and r.entity_type = $2 and r.entity_id = any ($3::bigint[])
union
select r.entity_id, r.remote_id, r.owed_gen > r.done_gen,
       coalesce(r.entity_synced_on >= $5, false), r.state, r.state_reason, r.data_hash, r.remote_hash
from sync.record r
where r.target = $1 and r.entity_type = $2 and r.remote_id = any ($4::text[])
