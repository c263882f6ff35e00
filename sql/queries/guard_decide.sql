-- A person's decision about what is held of target $1. See sql/functions/guard.sql.
select entity_type, entity_id, gone from sync.guard_decide($1, $2, $3, $4)
