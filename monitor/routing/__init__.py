"""Who hears of an incident and when: routes and groups; inhibited, muted, folded, budgeted. Pure."""
