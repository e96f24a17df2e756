"""Text of others, labelled by hand: where it comes from, and which characters of it are secrets."""
