"""Who is calling: API keys, their scopes, and what a log may show of them."""
