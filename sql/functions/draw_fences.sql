-- Random 64-bit tokens, as many as asked for. gen_random_uuid() is the server's strong random source that needs no extension. All in
-- one call, since the change of search_path costs each call more than the token.
create or replace function earshot.draw_fences(p_count int) returns bigint[]
language plpgsql volatile set search_path = earshot, pg_temp
as $$
begin
  return array(select ('x' || right(replace(gen_random_uuid()::text, '-', ''), 16))::bit(64)::bigint from generate_series(1, p_count));
end $$;
