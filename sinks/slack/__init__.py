"""Slack: what is told there, and what people ask for with its buttons."""
