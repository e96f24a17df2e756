"""The outbox worker: what waits in the outbox and the monitor's own notices, brought to the sinks."""

from monitor.delivery.channel import SinkStats
from monitor.delivery.delivery import Delivery

__all__ = ["Delivery", "SinkStats"]
