"""The service that Farthing is measured against: FastAPI, asyncpg, PostgreSQL, one transaction per request."""
