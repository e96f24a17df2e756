"""Files: found by globs, told apart from their rotated selves, read to their end."""
