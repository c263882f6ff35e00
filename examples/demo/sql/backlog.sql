-- What is still to be done: changes in the outbox, and records that are owed and neither left to a person nor put off for
-- longer than the story lasts.
with owed as (
    select state, count(*) as n from sync.record where owed_gen > done_gen and due_on < now() + interval '2 minutes' group by state
)
select (select count(*) from sync.outbox) + coalesce(sum(n), 0)::bigint,
       coalesce(sum(n) filter (where state = 'leased'), 0)::bigint,
       coalesce(string_agg(n || ' ' || state, ', ' order by n desc), '')
from owed
