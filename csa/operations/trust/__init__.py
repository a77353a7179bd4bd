"""Who is believed: a person's or machine's own key, and the keys that a project trusts."""
