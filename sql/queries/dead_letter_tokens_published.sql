-- The broker holds the tokens of the dead letters with numbers $1.
update sync.dead_letter d set token_on = clock_timestamp() where d.dead_letter_id = any ($1)
