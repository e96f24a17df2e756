"""Who may sign in to the pages: what the configuration says of people, passwords, and limits on guesses."""
