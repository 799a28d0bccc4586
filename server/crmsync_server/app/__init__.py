"""The composition root: the only place that builds things, in order, and closes them in reverse."""

from crmsync_server.app.access import authenticator_of
from crmsync_server.app.serving import Serving, serving

__all__ = ["Serving", "authenticator_of", "serving"]
