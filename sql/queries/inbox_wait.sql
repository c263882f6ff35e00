-- Rows $2 of the inbox of target $1 are looked at again after $3 seconds, later the older they are, after $7 seconds at most; after
-- $6 attempts ($5: this was one) they are left to a person. $4: why, without anything personal. See sql/functions/inbox.sql.
select sync.put_off($1, $2, $4, $5, $6::integer, $3 * interval '1 second', $7 * interval '1 second')
