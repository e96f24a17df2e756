"""The pages that alerts link to and the night is worked in. Everything on them is masked; who looks is known before
(monitor.web.auth), and without sign-in they are read only. Each file has its addresses; a page asks the store, shows a
template, and changes something only by a form that `visitor.posted` has taken.
"""

from monitor.web.console.context import ConsoleContext
from monitor.web.console.live import LiveUpdates
from monitor.web.console.routes import routes
from monitor.web.console.sessions import Reception

__all__ = ["ConsoleContext", "LiveUpdates", "Reception", "routes"]
