-- A person's decision about the deletes that target $1 holds. See sql/functions/guard.sql.
select entity_type, entity_id from sync.guard_decide($1, $2, $3, $4)
