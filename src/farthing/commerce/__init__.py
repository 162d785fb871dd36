"""Money from outside: a package for each provider of payments, which speaks to it and reads what it sends."""
