"""Finds out whether deliveries to a webhook can succeed, without starting its workflow.

n8n answers a preflight with the methods that it listens for at a path, and a request by any
other method with a 404 that names the right ones. Only a delivery would prove the credentials.
"""

from http import HTTPStatus

from crmsync_server.crm.adapter import Standing
from crmsync_server.crm.http import Fault, gave_no_answer
from crmsync_server.crm.n8n_calls import Webhook
from crmsync_server.crm.n8n_replies import words
from crmsync_server.crm.replies import Reply, text

_STARTING_UP = "n8n is starting up"
_UNPROVED = "only a delivery proves the credentials"
# Methods that a node can listen for; by GET or HEAD somebody's browser may have been asked.
_WRONG_METHODS = ("PATCH", "PUT", "DELETE")


async def check(webhook: Webhook) -> Standing:
    """Ask n8n and the path; raises AddressRefusedError."""
    ready = await webhook.readiness()
    if gone := _gone(ready):
        return gone
    preflight = await webhook.ask("OPTIONS")
    if gone := _gone(preflight):
        return gone
    methods = _methods(preflight)
    if methods is None:
        untold = f"n8n answers, but does not say whether the workflow is active; {_UNPROVED}"
        return Standing(valid=True, message=untold)
    if "POST" not in methods:
        return Standing(valid=False, message=_not_listening(methods))
    return await _probe(webhook, methods)


async def _probe(webhook: Webhook, methods: frozenset[str]) -> Standing:
    """Call by a method that nobody listens for; the 404 says that the path is live."""
    wrong = next((method for method in _WRONG_METHODS if method not in methods), None)
    if wrong is not None:
        reply = await webhook.ask(wrong)
        if gone := _gone(reply):
            return gone
        if isinstance(reply, Reply) and _is_unregistered(reply):
            return Standing(valid=False, message=words(reply))
    return Standing(valid=True, message=f"n8n is ready and the workflow is active; {_UNPROVED}")


def _is_unregistered(reply: Reply) -> bool:
    message = text(reply.fields.get("message"))
    live = "not registered for" in message and "POST" in message.partition("Did you mean")[2]
    return reply.status == HTTPStatus.NOT_FOUND and not live


def _gone(found: Reply | Fault) -> Standing | None:
    """Return the standing where n8n gave no answer of its own, or is not ready for one."""
    if not isinstance(found, Reply):
        return Standing(valid=False, message=found.message, reachable=False)
    if gave_no_answer(found) or _STARTING_UP in found.text:
        message = f"n8n is not ready ({found.status}): {words(found)}"
        return Standing(valid=False, message=message, reachable=False)
    return None


def _methods(preflight: Reply | Fault) -> frozenset[str] | None:
    """Return the methods that n8n listens for; None where it was not n8n that answered.

    n8n names OPTIONS first. The list of a proxy in front of it is no list of what may be called.
    """
    if not isinstance(preflight, Reply) or preflight.status != HTTPStatus.NO_CONTENT:
        return None
    told = preflight.headers.get("access-control-allow-methods", "")
    first, *methods = [method.strip().upper() for method in told.split(",")]
    return frozenset(methods) if first == "OPTIONS" else None


def _not_listening(methods: frozenset[str]) -> str:
    if not methods:
        return "no active workflow has this webhook: activate it, and give its Production URL"
    listed = " and ".join(sorted(methods))
    return f"the webhook listens for {listed}; set its HTTP Method to POST"
