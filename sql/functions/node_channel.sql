-- The NOTIFY channel on which a node hears: earshot_ and 16 hexadecimal digits.
create or replace function earshot.node_channel(p_node text) returns text
language sql immutable set search_path = earshot, pg_temp
as $$ select 'earshot_' || left(md5(p_node), 16) $$;
