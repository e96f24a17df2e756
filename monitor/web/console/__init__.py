"""Pages that alerts link to: an incident as it stands, and its runbook. Read-only, masked, no script.

What is only read needs no token against forgery, and one style in each page no folder of files. Who may read them is
asked before (monitor.web.auth), as for `/status`.
"""

from monitor.web.console.routes import routes

__all__ = ["routes"]
