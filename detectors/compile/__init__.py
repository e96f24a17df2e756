"""From rules to what Hyperscan is asked, kept in a cache."""
