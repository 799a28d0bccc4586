-- Note that a CRM is read from now on: its deliveries write down what they agree on. Answers whether
-- that is new, or was so a moment ago: servers may not know of it yet.
INSERT INTO crm_configs AS c (org_id, crm, two_way_time)
VALUES (:org_id, :crm, now())
ON CONFLICT (org_id, crm) DO UPDATE SET
    two_way_time = coalesce(c.two_way_time, excluded.two_way_time)
RETURNING c.two_way_time > now() - interval '1 minute' AS is_new
