"""What a source may do, what it lost, and what seals its positions."""
