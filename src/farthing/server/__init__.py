"""The server around the application: listening, HTTP, and several processes behind one address.

It knows connections, signals and processes, and nothing of ledgers: `serving` puts both together.
"""
