-- No token of the closed dead letters of target $1 that were closed before $2 is in the queue any more.
update sync.dead_letter d set token_on = null
where d.target = $1 and d.closed_on < $2 and d.token_on is not null
