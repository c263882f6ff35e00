-- The dead letters with numbers $1.
select d.* from sync.dead_letter d where d.dead_letter_id = any ($1)
