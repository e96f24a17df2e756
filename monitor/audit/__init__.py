"""The policy's checklist: what holds, what does not, what cannot be told, each with evidence and how to see it again.

One file a family of checks, one line an item in `items.ITEMS`. A check gives `Evidence`, the worst of which is the
verdict.
"""
