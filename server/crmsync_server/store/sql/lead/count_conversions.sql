-- Count in a session how many of its leads have converted. The caller holds the session's run.
UPDATE sessions AS s SET
    conversions = s.conversions + :conversions,
    new_conversions = s.new_conversions + :new_conversions
WHERE s.org_id = :org_id AND s.id = :session_id
