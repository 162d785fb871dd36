"""Stripe: a client of its API on the official library, and its events read. What follows from either is judged
elsewhere. The library is loaded with the first call or the first event: it takes a third of a second.
"""
