"""The exposure monitor: sources, incidents, delivery, runbooks and the command line."""

import sys

__version__ = "0.1.0"

if sys.version_info < (3, 11, 3):
    from monitor.common.timeouts import mend

    mend()
