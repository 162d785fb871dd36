"""Other systems' calls for asyncio; `sync` is made from them."""
