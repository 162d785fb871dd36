"""The asynchronous client. Its twin in `sync` is made from these files by `python -m tests.client.twin`."""
