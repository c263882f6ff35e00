-- In how many seconds the next record of target $1 is due that is owed, or is to be read back, or the next row of its inbox; null
-- when none will be.
select extract(epoch from least(
    (select min(r.due_on) from sync.record r
     where r.target = $1 and r.owed_gen > r.done_gen and r.due_on > clock_timestamp() and r.due_on < 'infinity'),
    (select min(r.read_back_on) from sync.record r where r.target = $1 and r.read_back_on is not null),
    (select min(i.due_on) from sync.inbox i
     where i.target = $1 and i.state in ('pending', 'waiting') and i.due_on > clock_timestamp())
) - clock_timestamp())::float8
