"""Where a request came from, and whether it was safe on its way: the connection says so, or the proxies before us do,
as many as there are known to be. What a client writes into such fields itself counts for nothing."""

from msgspec import Struct

from ..endpoint import Request

_FOR = b"x-forwarded-for"
_PROTO = b"x-forwarded-proto"


class Wherefrom(Struct, frozen=True):
    """Knows how many proxies there are, each of which adds to `X-Forwarded-For` who asked it."""

    proxies: int = 0
    public_url: str = ""

    def address(self, request: Request) -> str:
        """The address of the client."""
        said = [each.strip() for each in request.headers.get(_FOR, b"").decode("latin-1").split(",")]
        if self.proxies and len(said) >= self.proxies and said[-self.proxies]:
            return said[-self.proxies]
        client = request.scope.get("client")
        return str(client[0]) if client else ""

    def is_https(self, request: Request) -> bool:
        """Whether the client asked by https."""
        if self.public_url.startswith("https:"):
            return True
        said = request.headers.get(_PROTO, b"").decode("latin-1").split(",")[0].strip() if self.proxies else ""
        return (said or request.scheme) == "https"
