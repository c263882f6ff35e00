-- Takes at most $2 records of target $1 that are to be read by themselves, those that were hinted at first; others may after $3
-- seconds.
update sync.to_read t set due_on = clock_timestamp() + $3 * interval '1 second', attempts = t.attempts + 1
where t.ctid = any (array(
    select x.ctid from sync.to_read x
    where x.target = $1 and x.due_on <= clock_timestamp()
    order by x.cause, x.due_on limit $2 for update skip locked))
returning t.entity_type, t.remote_id, t.asked_gen, t.attempts
