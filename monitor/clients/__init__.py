"""Other people's interfaces, one file each, for whoever speaks to them: no source, no store, no configuration."""
