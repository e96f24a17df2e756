"""Talking to GitHub: one client with its limits and log-in, and what its answers mean here."""
