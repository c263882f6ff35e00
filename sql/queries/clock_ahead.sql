-- By how many milliseconds the clock of target $1 is ahead of the database's, as its last page told. Less than a second is less than
-- what was measured is sure of.
select coalesce((
    select case when abs(c.clock_ahead_ms) >= 1000 then c.clock_ahead_ms end from sync.cursor c
    where c.target = $1 and c.clock_ahead_ms is not null
    order by coalesce(c.position_on, c.pulled_on) desc nulls last limit 1), 0)
