"""journald's records, sequence by sequence {files sequence records}, through journalctl {journalctl entries}."""
