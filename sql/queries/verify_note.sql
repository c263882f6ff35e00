-- Notes for walk $1 and type $2 what was found of entities $3: remote ids $4, findings $5, states $6, reasons $7.
insert into sync.verify_row (run, entity_type, entity_id, remote_id, finding, state, reason)
select $1, $2, f.id, f.remote_id, f.finding, f.state, f.reason
from unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[])
     as f (id, remote_id, finding, state, reason)
on conflict do nothing
