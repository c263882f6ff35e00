-- Dead letters that match: target $1, entity type $2, EMS id $3, number $4, reason $5, text of the error $6, last failed more
-- than $7 seconds ago; null matches all. $8 how many, the oldest first, after number $9. $10
-- only those that can be put back and were not yet. {which}: the open ones, or all.
select d.*, r.state as record_state
from sync.dead_letter d
left join sync.record r on r.target = d.target and r.entity_type = d.entity_type and r.entity_id = d.entity_id
where ($1::text is null or d.target = $1)
  and ($2::text is null or d.entity_type = $2)
  and ($3::bigint is null or d.entity_id = $3)
  and ($4::bigint is null or d.dead_letter_id = $4)
  and ($5::text is null or d.reason = $5)
  and ($6::text is null or position(lower($6) in lower(d.error)) > 0)
  and ($7::float8 is null or d.last_failed_on < clock_timestamp() - $7 * interval '1 second')
  and {which}
  and d.dead_letter_id > $9
  and not ($10 and (d.replayed_on is not null or d.entity_type is null))
order by d.dead_letter_id
limit $8
