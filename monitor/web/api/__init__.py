"""What the pages do, for programs: `/api/v1/…`, JSON both ways. Whoever may read pages may read it; a token alone
changes anything, so that no page elsewhere does by somebody's session.
"""

from monitor.web.api.door import TokenDoor
from monitor.web.api.routes import routes

__all__ = ["TokenDoor", "routes"]
