-- How many open dead letters there are, $1 to $7 as in dead_letters_list.sql: those that can be put back and were not yet, those that
-- were and have not failed since, and those of messages that could not be decoded, which never can.
select count(*) filter (where d.entity_type is not null and d.replayed_on is null) as to_replay,
       count(*) filter (where d.entity_type is not null and d.replayed_on is not null) as put_back,
       count(*) filter (where d.entity_type is null) as never
from sync.dead_letter d
where ($1::text is null or d.target = $1)
  and ($2::text is null or d.entity_type = $2)
  and ($3::bigint is null or d.entity_id = $3)
  and ($4::bigint is null or d.dead_letter_id = $4)
  and ($5::text is null or d.reason = $5)
  and ($6::text is null or position(lower($6) in lower(d.error)) > 0)
  and ($7::float8 is null or d.last_failed_on < clock_timestamp() - $7 * interval '1 second')
  and d.closed_on is null
