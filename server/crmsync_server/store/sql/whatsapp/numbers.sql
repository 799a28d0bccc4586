-- The phone numbers of the organization's account, in Meta's order.
SELECT n.* FROM whatsapp_numbers AS n
WHERE n.org_id = :org_id
ORDER BY n.place, n.id
