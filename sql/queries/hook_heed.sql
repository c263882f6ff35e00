-- Heeds a webhook of target $1, unless it was heeded before. See sql/functions/pull.sql.
select sync.heed_hook($1, $2, $3, $4, $5, $6, $7)
