"""The host that the service runs on: being installed there (`monitor init --install`), and whether all that it needs of
that host is given (`monitor check --environment`)."""
