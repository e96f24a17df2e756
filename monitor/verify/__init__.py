"""Whether a secret still works: asked of who issued it, by a request that changes nothing."""
