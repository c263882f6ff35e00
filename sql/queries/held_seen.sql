-- The digests of what is held of target $1, for a person who decides about exactly that: the undecided of each kind, then what was
-- rejected earlier. See sql/functions/guard.sql.
select concat_ws('-',
    sync.digest_of_held(coalesce(array_agg(h.key) filter (where h.what = 'record' and not h.kept), '{}')),
    sync.digest_of_held(coalesce(array_agg(h.key) filter (where h.what = 'removal' and not h.kept), '{}')),
    sync.digest_of_held(coalesce(array_agg(h.key) filter (where h.what = 'consent' and not h.kept), '{}')),
    sync.digest_of_held(coalesce(array_agg(h.key) filter (where h.what = 'record' and h.kept), '{}')),
    sync.digest_of_held(coalesce(array_agg(h.key) filter (where h.what = 'removal' and h.kept), '{}')),
    sync.digest_of_held(coalesce(array_agg(h.key) filter (where h.what = 'consent' and h.kept), '{}'))) as seen
from (
    select 'record' as what, h.key, h.kept from sync.held_now($1) h
    union all
    select 'removal', h.key, h.kept from sync.held_removal h where h.target = $1
    union all
    select 'consent', h.key, h.kept from sync.held_consent h where h.target = $1
) h
