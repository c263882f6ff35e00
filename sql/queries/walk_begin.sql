-- Begins or goes on with the walk of $3 through stream $2 of target $1. See sql/functions/pull.sql.
select cursor_was, position_is, is_full, ahead_ms from sync.begin_walk($1, $2, $3, $4, $5, $6, $7, $8)
