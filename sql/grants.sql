-- Who may call what. Applied after every change of a function: nothing is granted to public, and
-- the role earshot_worker may only call the functions that a worker needs.
revoke all on schema earshot from public;
revoke all on all functions in schema earshot from public;
do $$ begin
  if exists (select from pg_roles where rolname = 'earshot_worker') then
    grant usage on schema earshot to earshot_worker;
    grant execute on function
      earshot.register_node, earshot.register_kinds, earshot.heartbeat, earshot.take_assignments, earshot.start_jobs, earshot.finish_jobs, earshot.hand_back_jobs,
      earshot.deregister_node, earshot.drain_node, earshot.read_segments, earshot.read_chunks, earshot.locate_media, earshot.list_coordinators, earshot.node_channel, earshot.lease_seconds,
      earshot.set_wake_transport, earshot.mesh_id, earshot.update_offer,
      earshot.schema_version
      to earshot_worker;
  end if;
end $$;
