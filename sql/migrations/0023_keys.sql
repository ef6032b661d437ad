-- create_documents takes what was submitted before.
drop function if exists earshot.create_documents(jsonb, text);
