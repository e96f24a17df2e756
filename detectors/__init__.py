"""Bytes to matches: rules, the Hyperscan engine, confirmation and filters. Knows nothing of monitor or sinks."""
