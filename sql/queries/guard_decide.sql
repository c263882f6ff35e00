-- A person's decision about what is held of target $1; $5 is what they saw of it. See sql/functions/guard.sql.
select entity_type, entity_id, gone from sync.guard_decide($1, $2, $3, $4, split_part($5, '-', 1), split_part($5, '-', 4))
