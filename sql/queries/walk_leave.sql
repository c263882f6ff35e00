-- Leaves the walk of $3 through stream $2 of target $1 where it stands ($5: gives its position up), because of $4. It is gone on
-- with after $6 seconds, doubled for each time in a row, at most $7.
update sync.cursor set
    last_error   = coalesce($4, last_error),
    failures     = failures + ($4 is not null)::int,
    position     = case when not $5 then position end,
    again_on     = clock_timestamp() + least($6 * 2 ^ least(failures, 20), $7) * interval '1 second',
    walker       = null,
    walker_until = null
where target = $1 and stream = $2 and walker = $3
