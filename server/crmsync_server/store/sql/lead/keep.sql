-- Keep what a caller says of a lead, and lock it: `held` while somebody registers it, `elsewhere` when it
-- belongs to another CRM, and is then left as it is.
WITH given AS (
    INSERT INTO leads AS l (
        org_id, id, crm, email, first_name, last_name, phone, country, language, ip_address,
        campaign_id, tag
    )
    VALUES (
        :org_id, :id, :crm, :email, :first_name, :last_name, :phone, :country, :language, :ip_address,
        :campaign_id, :tag
    )
    ON CONFLICT (org_id, id) DO UPDATE SET
        email = CASE WHEN l.crm = excluded.crm THEN excluded.email ELSE l.email END,
        first_name = CASE WHEN l.crm = excluded.crm THEN excluded.first_name ELSE l.first_name END,
        last_name = CASE WHEN l.crm = excluded.crm THEN excluded.last_name ELSE l.last_name END,
        phone = CASE WHEN l.crm = excluded.crm THEN excluded.phone ELSE l.phone END,
        country = CASE WHEN l.crm = excluded.crm THEN excluded.country ELSE l.country END,
        language = CASE WHEN l.crm = excluded.crm THEN excluded.language ELSE l.language END,
        ip_address = CASE WHEN l.crm = excluded.crm THEN excluded.ip_address ELSE l.ip_address END,
        campaign_id = CASE WHEN l.crm = excluded.crm THEN excluded.campaign_id ELSE l.campaign_id END,
        tag = CASE WHEN l.crm = excluded.crm THEN excluded.tag ELSE l.tag END,
        update_time = CASE
            WHEN l.crm = excluded.crm
                AND (
                    l.email, l.first_name, l.last_name, l.phone, l.country, l.language, l.ip_address,
                    l.campaign_id, l.tag
                ) <> (
                    excluded.email, excluded.first_name, excluded.last_name, excluded.phone,
                    excluded.country, excluded.language, excluded.ip_address, excluded.campaign_id,
                    excluded.tag
                )
                THEN now()
            ELSE l.update_time
        END
    RETURNING l.*, xmax = 0 AS added
),

counted AS (
    INSERT INTO lead_totals AS t (org_id, crm, leads)
    SELECT g.org_id, g.crm, 1
    FROM given AS g
    WHERE g.added
    ON CONFLICT (org_id, crm) DO UPDATE SET leads = t.leads + excluded.leads
)

SELECT
    g.*,
    coalesce(g.registration_until > now(), FALSE) AS held,
    g.crm <> :crm AS elsewhere
FROM given AS g
