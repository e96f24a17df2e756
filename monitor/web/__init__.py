"""The HTTP side of the monitor: health, metrics, inbound hooks, console. One module each, joined in `app`."""
