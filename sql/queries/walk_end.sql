-- Ends the complete walk of $3 through stream $2 of target $1. See sql/functions/pull.sql.
select sync.end_walk($1, $2, $3, $4, $5, $6, $7)
