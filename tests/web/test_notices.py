"""What CRMs tell by webhooks arrives: from the simulated CRM to the contact, over real HTTP."""

from functools import partial

from crmsync_server.sandbox.server import Sandbox
from tests.eventually import eventually
from tests.web.conftest import Site

WITHIN = 15.0


async def test_what_a_user_does_in_hubspot_arrives(site: Site, sandbox: Sandbox) -> None:
    """A new contact, a change of it, and its deletion, which unlinks it here."""
    sandbox.hubspot.subscribe(await site.connect(sandbox))
    user = sandbox.hubspot.user
    ada = user.add({"email": "ada@example.com", "firstname": "Ada"})

    await eventually(partial(site.person, "ada@example.com", first_name="Ada"), WITHIN)
    user.edit(ada, {"company": "Analytical Engines"})
    await eventually(partial(site.person, "ada@example.com", company="Analytical Engines"), WITHIN)
