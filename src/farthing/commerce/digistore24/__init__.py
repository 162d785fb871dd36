"""Digistore24: a client of its API, and its notifications read. What follows from either is judged elsewhere."""
