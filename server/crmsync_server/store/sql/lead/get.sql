-- A lead.
SELECT l.* FROM leads AS l WHERE l.org_id = :org_id AND l.id = :id
