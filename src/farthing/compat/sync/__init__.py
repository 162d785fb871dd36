"""Other systems' calls, synchronous; made from `aio` by `python -m tests.client.twin`."""
