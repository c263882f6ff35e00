-- The broker holds the tokens of the dead letters with numbers $1.
with held as (
    select d.dead_letter_id from sync.dead_letter d
    where d.dead_letter_id = any ($1)
    order by d.target, d.entity_type, d.entity_id, d.dead_letter_id
    for update of d
)
update sync.dead_letter d set token_on = clock_timestamp()
from held h
where d.dead_letter_id = h.dead_letter_id
