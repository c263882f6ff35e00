-- These records of target $1 were read, unless they were asked for again meanwhile: types $2, remote ids $3, generations $4.
delete from sync.to_read t using unnest($2::text[], $3::text[], $4::bigint[]) as d (entity_type, remote_id, asked_gen)
where t.target = $1 and t.entity_type = d.entity_type and t.remote_id = d.remote_id and t.asked_gen = d.asked_gen
