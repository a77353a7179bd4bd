"""Who became champion, when, and why: the append-only ledger, and the champion it names."""
