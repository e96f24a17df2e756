"""From a block of bytes to matches: look, decode, confirm, judge, and settle what overlaps."""
