-- A node that is about to stop gets nothing more; what it has it finishes.
create or replace function earshot.drain_node(p_node text, p_incarnation bigint, p_token text default null) returns void
language sql security definer set search_path = earshot, pg_temp
as $$ update earshot.nodes set reason = 'It is stopping.', stopping = true where id = p_node and incarnation = p_incarnation
    and earshot.is_node(p_node, p_incarnation, p_token) $$;
