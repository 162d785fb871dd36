"""Usage from elsewhere: OpenTelemetry spans and JSON lines become charges, once each; and what a provider says was used
is held against the ledger.

Nothing of this is loaded by `import farthing`. It works through a client, in this process or over HTTP.
"""
