-- Discards the dead letters with numbers $1, on behalf of $2. See sql/functions/dead_letters.sql.
select dead_letter_id from sync.discard($1, $2)
