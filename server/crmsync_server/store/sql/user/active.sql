-- How many users are active.
SELECT count(*) AS active FROM users AS u WHERE u.org_id = :org_id AND u.is_active
