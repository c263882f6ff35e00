-- Moves the walk of $3 through stream $2 of target $1 past a page. See sql/functions/pull.sql.
select sync.move_walk($1, $2, $3, $4, $5, $6, $7, $8)
