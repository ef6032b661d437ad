-- route_by_precedent first returned rows and now returns one value, under the same arguments: a function of the first sort has to go before
-- its file can be applied. One of the second sort is up to date, and stays.
do $$
begin
  if exists (select from pg_catalog.pg_proc p where p.pronamespace = 'earshot'::regnamespace and p.proname = 'route_by_precedent' and p.proretset) then
    drop function earshot.route_by_precedent(bigint, int, jsonb, boolean);
  end if;
end $$;
