-- Takes in what was read from target $1 by a request that began at $2; $3: the hash of nothing. See sql/functions/inbox.sql.
select * from sync.take_in($1, $2, $3, $4)
