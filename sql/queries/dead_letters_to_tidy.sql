-- What the queue of dead letters of target $1 should hold, and whether it is known to hold something else: an open one
-- without a token for $2 seconds, a closed one with one.
select (select count(*) from sync.dead_letter d where d.target = $1 and d.closed_on is null) as open,
       exists (select from sync.dead_letter d
               where d.target = $1 and d.closed_on is null and d.token_on is null
                 and d.last_failed_on < clock_timestamp() - $2 * interval '1 second')
       or exists (select from sync.dead_letter d
                  where d.target = $1 and d.closed_on is not null and d.token_on is not null) as is_dirty
