"""The outbox worker: what waits in the outbox and the monitor's own notices, brought to the sinks."""

from monitor.delivery.channel import SinkStats
from monitor.delivery.delivery import Delivery
from monitor.delivery.render import FIRST_STEP, Links, present

__all__ = ["FIRST_STEP", "Delivery", "Links", "SinkStats", "present"]
