-- Drops records of target $1 whose entity has been gone for $2 days and about which nothing is left to be done, $3 at once. $4: those
-- that had a remote id stay, since what people have said there is known by it. What people took out there before the EMS hid or deleted
-- it has no tombstone, and counts from its last change.
with old as (
    select r.entity_type, r.entity_id
    from sync.record r
    where r.target = $1
      and (r.tombstoned_on <= clock_timestamp() - $2 * interval '1 day'
           or r.tombstoned_on is null and r.gone and r.former_remote_id is not null
              and r.last_owed_on <= clock_timestamp() - $2 * interval '1 day')
      and r.owed_gen = r.done_gen
      and r.remote_id is null
      and r.gave_up_key is null
      and not ($4 and r.former_remote_id is not null)
      and r.intent_on is null
      and r.read_back_on is null
      and r.lease_owner is null
      and not r.in_doubt
      and r.dead_lettered_on is null
    order by r.entity_type, r.entity_id
    limit $3
    for update of r skip locked
)
delete from sync.record r using old o
where r.target = $1 and r.entity_type = o.entity_type and r.entity_id = o.entity_id
