-- What a person sees of what is held of target $1, in one word with which they decide about exactly that (sync.seen_of): the undecided of
-- each kind, then what was rejected earlier.
with held as (
    select 'record' as what, h.kept, h.key, h.since from sync.held_now($1) h
    union all
    select 'removal', h.kept, h.key, h.since from sync.held_removal h where h.target = $1
    union all
    select 'consent', h.kept, h.key, h.held_on from sync.held_consent h where h.target = $1
), seen as (
    select p.place,
           sync.seen_of(coalesce(array_agg(h.key) filter (where h.key is not null), '{}'),
                        coalesce(array_agg(h.since) filter (where h.key is not null), '{}')) as word
    from (values (1, 'record', false), (2, 'removal', false), (3, 'consent', false),
                 (4, 'record', true), (5, 'removal', true), (6, 'consent', true)) as p (place, what, kept)
    left join held h on h.what = p.what and h.kept = p.kept
    group by p.place
)
select string_agg(s.word, '-' order by s.place) as seen
from seen s
