-- Keep the phone numbers that the account has now; those that it has no more stay known, and inactive.
WITH found AS (
    SELECT f.*
    FROM unnest(
        CAST(:ids AS text []),
        CAST(:display_numbers AS text []),
        CAST(:verified_names AS text []),
        CAST(:qualities AS text []),
        CAST(:active AS boolean []),
        CAST(:verified AS boolean [])
    ) WITH ORDINALITY AS f (
        id, display_number, verified_name, quality, is_active, verified, place
    )
),

gone AS (
    UPDATE whatsapp_numbers AS n SET is_active = FALSE, place = 1000
    WHERE n.org_id = :org_id AND n.id <> ALL(CAST(:ids AS text []))
)

INSERT INTO whatsapp_numbers (
    org_id, id, display_number, verified_name, quality, is_active, verified, place
)
SELECT
    :org_id, f.id, f.display_number, f.verified_name, f.quality, f.is_active, f.verified, f.place
FROM found AS f
ON CONFLICT (org_id, id) DO UPDATE SET
    display_number = excluded.display_number,
    verified_name = excluded.verified_name,
    quality = excluded.quality,
    is_active = excluded.is_active,
    verified = excluded.verified,
    place = excluded.place
