-- Lets a batch's deletes through or holds them. See sql/functions/guard.sql.
select entity_type, entity_id, verdict from sync.guard_settle($1, $2, $3, $4, $5, $6, $7)
