"""Importing: what other systems have, from a file of JSON lines into the books; once, however often it is run."""
