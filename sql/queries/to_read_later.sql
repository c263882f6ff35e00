-- These records of target $1 could not be read: types $2, remote ids $3. They are tried again after $4 seconds, doubled for each
-- time in a row, at most $5.
update sync.to_read t set due_on = clock_timestamp() + least($4 * 2 ^ least(t.attempts, 20), $5) * interval '1 second'
from unnest($2::text[], $3::text[]) as d (entity_type, remote_id)
where t.target = $1 and t.entity_type = d.entity_type and t.remote_id = d.remote_id
