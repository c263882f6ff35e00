-- What target $1 is bound to, whether it is held, which database this is and how far it has come, at one moment.
select b.database, b.login, b.instance, b.held_on is not null as held,
       p.system_identifier, p.database_oid, p.database_name, e.epoch
from sync.binding b, sync.place() p, sync.epoch e
where b.target = $1
