"""Who read which secret, by the audit records of what holds it; and what of that is out of order."""
