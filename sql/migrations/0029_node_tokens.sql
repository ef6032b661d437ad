-- A worker proves at each call that it is the node it names. A node of the version before has none.
alter table earshot.node_registry add column if not exists token_hash bytea;
comment on column earshot.node_registry.token_hash is 'SHA-256 of the token that this registration drew.';
-- Each takes the token as a last argument now, and so works for the version before, too.
drop function if exists earshot.register_node(text, text, text, int, text, int, text[], jsonb, jsonb, jsonb);
drop function if exists earshot.heartbeat(text, bigint, jsonb, jsonb);
drop function if exists earshot.take_assignments(text, bigint, bigint[]);
drop function if exists earshot.start_jobs(text, bigint, bigint[], bigint[]);
drop function if exists earshot.finish_jobs(text, bigint, bigint[], bigint[], jsonb[]);
drop function if exists earshot.hand_back_jobs(text, bigint, bigint[], bigint[], text, text, interval);
drop function if exists earshot.deregister_node(text, bigint);
drop function if exists earshot.drain_node(text, bigint);
drop function if exists earshot.update_offer(text, bigint, text[], jsonb, jsonb, jsonb);
drop function if exists earshot.set_wake_transport(text, bigint, text);
-- It gave away the secret that signs all media.
drop function if exists earshot.locate_media(text);
