"""What takes a secret back: requests to issuers and commands of one's own, approved by people, run once."""
