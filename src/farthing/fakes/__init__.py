"""Stand-ins for providers of payments and of models, to test against: programs that keep books and speak real HTTP.

They know nothing of the ledger and share no code with the clients that speak to them: what both get wrong in the same
way would else never be seen.
"""
