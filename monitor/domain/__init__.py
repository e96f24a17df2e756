"""The words: incidents, findings, ages of what is stored. Data and pure decisions."""
