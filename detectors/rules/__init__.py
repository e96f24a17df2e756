"""Rules: what they are, how they are written in packs, and what is read off them before anything is compiled."""
