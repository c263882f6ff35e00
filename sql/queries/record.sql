-- The record of entity ($2, $3) at target $1, as it is explained.
select r.entity_type, r.entity_id, r.remote_id, r.state, r.state_reason, r.last_error,
       r.owed_gen > r.done_gen as is_owed,
       coalesce(r.lease_until > clock_timestamp(), false) as is_leased,
       r.owed_on, r.entity_synced_on, r.entity_modified_on, r.remote_synced_on,
       case when r.owed_gen > r.done_gen and r.due_on < 'infinity' then r.due_on end as due_on,
       r.waiting_on,
       w.state as other_state, w.state_reason as other_reason, d.dead_letter_id, d.next_try_on,
       r.attempts, r.in_doubt, r.data_hash = r.remote_hash as hashes_agree, r.dead_lettered_on,
       case when r.state_reason = 'shared_email' then (
           select min(o.entity_id) from sync.record o
           where o.target = r.target and o.entity_type = r.entity_type and o.wanted_key = r.wanted_key)
       when r.gave_up_key is not null then (
           select min(o.entity_id) from sync.record o
           where o.target = r.target and o.entity_type = r.entity_type and o.wanted_key = r.gave_up_key
             and o.entity_id <> r.entity_id and not o.gone) end as owner_id,
       r.gave_up_key is not null as gave_up
from sync.record r
left join sync.record w on w.target = r.target and w.entity_type = split_part(r.waiting_on, ':', 1)
                       and w.entity_id = split_part(r.waiting_on, ':', 2)::bigint
left join sync.dead_letter d on d.target = r.target and d.entity_type = r.entity_type and d.entity_id = r.entity_id
                            and d.closed_on is null
where r.target = $1 and r.entity_type = $2 and r.entity_id = $3
