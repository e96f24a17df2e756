"""Files at rest: trees, archives and streams, searched once. `monitor scan` is its command."""
