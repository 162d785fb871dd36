"""Calls over HTTP."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx2

from ..answers import Answer, read_answer
from ..calls import Call
from ..errors import NotHere
from ..event_stream import EVENT_STREAM, QUIET_SECONDS, is_stream
from ..http_errors import answer_of, base_of, failed, headers_of
from ..job_results import JobRun
from ..pools import AsyncPools


class AsyncHttp:
    """Carries calls to a server, on connections that are kept."""

    def __init__(
        self, url: str, api_key: str, timeout: float, http_client: httpx2.AsyncClient | None = None
    ) -> None:  # fmt: skip
        self.address = base_of(url)
        self._headers = headers_of(api_key)
        self._timeout = timeout
        self._pools = AsyncPools(timeout, http_client)

    def start(self, call: Call[Any]) -> Call[Any]:
        """The call as it is: it leaves when it is sent."""
        return call

    async def send(self, call: Call[Any]) -> Answer:
        """What the server answers."""
        url = f"{self.address}{call.path}" + (f"?{call.query_text}" if call.query else "")
        headers = self._headers | call.headers()
        try:
            response = await self._pools.here().request(
                call.method, url, content=call.body or None, headers=headers, follow_redirects=False
            )
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise failed(call, error, self.address) from error
        return answer_of(response)

    async def stream(self, call: Call[Any]) -> AsyncGenerator[bytes, None]:
        """What the server answers, as it comes."""
        url = f"{self.address}{call.path}" + (f"?{call.query_text}" if call.query else "")
        headers = self._headers | call.headers() | {"accept": EVENT_STREAM}
        patience = httpx2.Timeout(self._timeout, read=max(self._timeout, QUIET_SECONDS))
        try:
            async with self._pools.here().stream(
                call.method, url, headers=headers, timeout=patience, follow_redirects=False
            ) as response:
                if response.status_code != 200 or not is_stream(response.headers):
                    await response.aread()
                    read_answer(call, answer_of(response))
                    return
                async for part in response.aiter_bytes():
                    yield part
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise failed(call, error, self.address) from error

    async def run_jobs(self) -> list[JobRun]:
        """That is for a ledger in this process."""
        raise NotHere(f"run_due: {NotHere.__doc__}")

    async def aclose(self) -> None:
        """End the connections; a client that was given stays open."""
        await self._pools.aclose()
