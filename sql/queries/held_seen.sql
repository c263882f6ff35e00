-- The digests of what is held of target $1, for a person who decides about exactly that. See sql/functions/guard.sql.
select concat_ws('-',
    (select sync.digest_of_held(coalesce(array_agg(h.key), '{}')) from sync.held_record h where h.target = $1),
    (select sync.digest_of_held(coalesce(array_agg(h.key), '{}')) from sync.held_removal h where h.target = $1),
    (select sync.digest_of_held(coalesce(array_agg(h.key), '{}')) from sync.held_consent h where h.target = $1)) as seen
