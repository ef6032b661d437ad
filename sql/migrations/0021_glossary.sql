-- Names from docs/glossary.md: what a node is woken by, and the languages that it transcribes.

alter table earshot.node_registry rename column hears to wake_transport;
alter table earshot.node_registry rename constraint nodes_hears_check to nodes_wake_transport_check;
alter view earshot.nodes rename column hears to wake_transport;

update earshot.node_registry
set tags = (tags - 'hears') || jsonb_build_object('languages', tags -> 'hears')
where tags ? 'hears';
update earshot.jobs
set requires = (requires - 'hears') || jsonb_build_object('languages', requires -> 'hears')
where requires ? 'hears';
