"""The configuration file, what of it is in force, and what lies in the state folder."""
