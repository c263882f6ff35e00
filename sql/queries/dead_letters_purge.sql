-- Forgets dead letters that were closed more than $1 days ago and whose token is gone, ten thousand at a time.
delete from sync.dead_letter d
where d.dead_letter_id in (
    select o.dead_letter_id from sync.dead_letter o
    where o.closed_on < clock_timestamp() - make_interval(days => $1) and o.token_on is null
    limit 10000)
