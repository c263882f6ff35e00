-- Which streams of target $1 are to be walked before their turn, because of a hint (no sooner than $3 seconds after the last walk:
-- a busy desk hints every second), or because a walk ended early or its process fell silent, and are not being walked; whether records are to be read by themselves; and whether the sweep, every $2 seconds, is due.
select coalesce(array(
           select c.stream from sync.cursor c
           where c.target = $1 and (c.hinted_on is not null and c.failures = 0
                    and coalesce(c.pulled_on <= clock_timestamp() - $3 * interval '1 second', true) or c.again_on <= clock_timestamp() or c.walker is not null)
             and coalesce(c.walker_until <= clock_timestamp(), true)
           order by c.stream), '{}') as streams,
       exists (select from sync.to_read t where t.target = $1 and t.due_on <= clock_timestamp()) as reads,
       not exists (
           select from sync.duty d
           where d.duty = 'sweep_inbound' and d.target = $1
             and (d.started_on > clock_timestamp() - $2 * interval '1 second' or d.lease_until > clock_timestamp())) as sweep
