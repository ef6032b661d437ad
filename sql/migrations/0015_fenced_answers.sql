-- Who may begin an answer: whoever holds the job, which knows its fence.

-- Takes the fence now, which create or replace cannot add.
drop function if exists earshot.begin_answer(bigint, int);
