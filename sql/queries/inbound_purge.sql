-- Drops what came back from target $1 and is of no more use, $5 rows of each kind at once. See sql/functions/inbound_purge.sql.
select sync.purge_inbound($1, $2, $3, $4, $5)
