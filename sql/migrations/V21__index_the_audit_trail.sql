-- Each trail is read from its newest end.
create index target_event_happened on sync.target_event (happened_on);
create index binding_event_happened on sync.binding_event (happened_on);
create index guard_decision_decided on sync.guard_decision (decided_on);
