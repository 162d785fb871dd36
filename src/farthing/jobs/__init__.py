"""Jobs: time passing becomes commands."""
