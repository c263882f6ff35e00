-- By how many milliseconds the clock of target $1 is ahead of the database's, as far as measured.
select coalesce((select c.clock_ahead_ms from sync.cursor c
                 where c.target = $1 and c.clock_ahead_ms is not null order by c.pulled_on desc nulls last limit 1), 0)
