"""One file a provider: what it holds, read with the least permission that does."""
