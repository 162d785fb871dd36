"""A ledger in this process: calls are answered by the very code that answers them behind a server.

Nothing outside this folder imports it but `connecting`, and only when a database is named: a client over HTTP needs
neither the ledger nor its databases.
"""
