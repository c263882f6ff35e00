-- Whether a change of entity ($1, $2) waits in the outbox.
select exists (select 1 from sync.outbox o where o.entity_type = $1 and o.entity_id = $2)
