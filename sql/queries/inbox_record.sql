-- Locks the record of entity $3 of type $2 at target $1, with those that wait for it and are woken by what is decided (all in key
-- order, like everybody who locks several), and tells what a decision about it needs; $4: when the snapshot's request began.
with locked as materialized (
    select r.entity_type, r.entity_id
    from sync.record r
    where r.target = $1
      and (r.entity_type = $2 and r.entity_id = $3
           or r.waiting_on = $2 || ':' || $3 and r.state_reason = 'waiting_for_parent')
    order by r.entity_type, r.entity_id
    for update of r
)
select r.remote_id, r.data_hash, r.remote_hash, r.sent_hashes, r.in_doubt, r.remote_synced_on, r.taken_modified_on,
       r.owed_gen > r.done_gen as owed,
       coalesce(r.lease_until > clock_timestamp(), false) as pushed_now,
       coalesce(r.sent_on > $4, false) as pushed_since,
       r.intent_on is not null as intended,
       r.tombstoned_on is not null as tombstoned,
       r.gone,
       a.ems as agreed_ems, a.remote as agreed_remote
from locked l
join sync.record r on r.target = $1 and r.entity_type = l.entity_type and r.entity_id = l.entity_id
left join sync.agreed a on a.target = r.target and a.entity_type = r.entity_type and a.entity_id = r.entity_id
where r.entity_type = $2 and r.entity_id = $3
