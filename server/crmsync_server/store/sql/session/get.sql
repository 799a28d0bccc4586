-- One session.
SELECT s.* FROM sessions AS s WHERE s.org_id = :org_id AND s.id = :session_id
