-- How far the sweep of target $1 and type $2 has read from now on.
insert into sync.watermark (target, entity_type, modified_on, orphan_id, audit_id)
values ($1, $2, $3, $4, $5)
on conflict (target, entity_type) do update set
    modified_on = excluded.modified_on, orphan_id = excluded.orphan_id, audit_id = excluded.audit_id
