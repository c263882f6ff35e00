-- Notes for walk $1 and type $2 what was found of entities $3: remote ids $4, findings $5, states $6, reasons $7, fields $8
-- (names joined by commas).
insert into sync.verify_row (run, entity_type, entity_id, remote_id, finding, state, reason, fields)
select $1, $2, f.id, f.remote_id, f.finding, f.state, f.reason, coalesce(string_to_array(nullif(f.fields, ''), ','), '{}')
from unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[])
     as f (id, remote_id, finding, state, reason, fields)
on conflict do nothing
