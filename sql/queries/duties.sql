-- The last runs of every duty.
select d.duty, d.target, d.finished_on, d.found from sync.duty d
