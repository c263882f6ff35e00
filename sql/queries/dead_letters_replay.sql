-- Puts the dead letters with numbers $1 back, on behalf of $2. See sql/functions/dead_letters.sql.
select dead_letter_id, target, entity_type, entity_id from sync.replay($1, $2)
