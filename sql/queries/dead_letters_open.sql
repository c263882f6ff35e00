-- The open dead letters of target $1, and whether their token must be in the queue by now: its cycle had failed, and it was
-- published if it was, more than $2 seconds ago.
select d.dead_letter_id,
       d.last_failed_on < clock_timestamp() - $2 * interval '1 second'
       and coalesce(d.token_on < clock_timestamp() - $2 * interval '1 second', true) as is_expected,
       d.token_on is not null as is_marked
from sync.dead_letter d
where d.target = $1 and d.closed_on is null
order by d.dead_letter_id
limit $3
