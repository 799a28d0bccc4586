"""The schema as SQLAlchemy tables; the migrations make exactly this, and a test proves it.

Every primary, unique and foreign key begins with org_id, so that the schema can be distributed by
organization unchanged.
"""

import sqlalchemy as sa

from crmsync_server.store.tables import (
    admin,
    bookkeeping,
    connections,
    contacts,
    conversations,
    history,
    leads,
    queue,
    runs,
    search,
    sessions,
    two_ways,
    users,
)


def schema() -> sa.MetaData:
    """Return the whole schema, freshly built."""
    metadata = sa.MetaData()
    contacts.contacts(metadata)
    for table in (queue.contact_syncs, queue.lanes, queue.tickets):
        table(metadata)
    for table in (sessions.sessions, sessions.session_items):
        table(metadata)
    for table in (
        history.sync_attempts,
        history.sync_counts,
        history.sync_hours,
        history.error_hours,
        history.read_hours,
    ):
        table(metadata)
    for table in (bookkeeping.quotas, bookkeeping.requests, bookkeeping.imports):
        table(metadata)
    for table in (admin.crm_configs, admin.schedules):
        table(metadata)
    for table in (
        connections.connections,
        connections.connection_secrets,
        connections.connection_tokens,
    ):
        table(metadata)
    for table in (runs.session_runs, runs.session_records, runs.watermarks):
        table(metadata)
    for table in (two_ways.sync_bases, two_ways.conflicts, two_ways.notices):
        table(metadata)
    users.users(metadata)
    for table in (leads.leads, leads.lead_history, leads.lead_counts, leads.lead_totals):
        table(metadata)
    search.search(metadata)
    conversations.add_all(metadata)
    return metadata
