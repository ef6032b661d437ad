-- The NOTIFY channel on which a node hears: earshot_ and 16 hexadecimal digits. plpgsql, since SQL
-- would be planned again at each call.
create or replace function earshot.node_channel(p_node text) returns text
language plpgsql immutable set search_path = earshot, pg_temp
as $$
begin
  return 'earshot_' || left(md5(p_node), 16);
end $$;
