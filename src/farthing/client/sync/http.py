"""Calls over HTTP.

Made from `aio/http.py` by `python -m tests.client.twin`: change that, not this.
"""

from collections.abc import Generator
from typing import Any

import httpx2

from ..answers import Answer, read_answer
from ..calls import Call
from ..errors import NotHere
from ..event_stream import EVENT_STREAM, QUIET_SECONDS, is_stream
from ..http_errors import answer_of, base_of, failed, headers_of
from ..job_results import JobRun
from ..pools import Pools


class Http:
    """Carries calls to a server, on connections that are kept."""

    def __init__(
        self, url: str, api_key: str, timeout: float, http_client: httpx2.Client | None = None
    ) -> None:  # fmt: skip
        self.address = base_of(url)
        self._headers = headers_of(api_key)
        self._timeout = timeout
        self._pools = Pools(timeout, http_client)

    def start(self, call: Call[Any]) -> Call[Any]:
        """The call as it is: it leaves when it is sent."""
        return call

    def send(self, call: Call[Any]) -> Answer:
        """What the server answers."""
        url = f"{self.address}{call.path}" + (f"?{call.query_text}" if call.query else "")
        headers = self._headers | call.headers()
        try:
            response = self._pools.here().request(
                call.method, url, content=call.body or None, headers=headers, follow_redirects=False
            )
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise failed(call, error, self.address) from error
        return answer_of(response)

    def stream(self, call: Call[Any]) -> Generator[bytes, None, None]:
        """What the server answers, as it comes."""
        url = f"{self.address}{call.path}" + (f"?{call.query_text}" if call.query else "")
        headers = self._headers | call.headers() | {"accept": EVENT_STREAM}
        patience = httpx2.Timeout(self._timeout, read=max(self._timeout, QUIET_SECONDS))
        try:
            with self._pools.here().stream(
                call.method, url, headers=headers, timeout=patience, follow_redirects=False
            ) as response:
                if response.status_code != 200 or not is_stream(response.headers):
                    response.read()
                    read_answer(call, answer_of(response))
                    return
                yield from response.iter_bytes()
        except (httpx2.RequestError, httpx2.StreamError) as error:
            raise failed(call, error, self.address) from error

    def run_jobs(self) -> list[JobRun]:
        """That is for a ledger in this process."""
        raise NotHere(f"run_due: {NotHere.__doc__}")

    def close(self) -> None:
        """End the connections; a client that was given stays open."""
        self._pools.close()
