"""Framing: the bytes of a stream, put together to whole events without changing any of them: server-sent events, and
the messages in which AWS wraps each event of a model on Bedrock.
"""

import base64
from typing import Final, Protocol

import msgspec

AWS: Final = "application/vnd.amazon.eventstream"
_FEWEST: Final = 16
"""Bytes of a message of AWS that has neither headers nor a payload."""
_MOST: Final = 1 << 25
"""More than one may have."""


class Framing(Protocol):
    """How events stand in the bytes."""

    rest: bytes
    """What came last, and never became whole."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now, with all that belongs to them."""
        ...

    def payload(self, event: bytes) -> bytes:
        """The JSON of an event."""
        ...


class Frames:
    """Server-sent events."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that are whole now, each with the empty line that ends it."""
        if b"\r" in data or b"\r" in self.rest:
            # Who ends lines like that may have his end of a line cut in two: then it waits.
            data = (self.rest + data).replace(b"\r\n", b"\n")
            self.rest = b""
        data = self.rest + data if self.rest else data
        events, begin = [], 0
        while (end := data.find(b"\n\n", begin)) >= 0:
            events.append(data[begin : end + 2])
            begin = end + 2
        self.rest = data[begin:]
        return events

    def payload(self, event: bytes) -> bytes:
        """The data of an event."""
        parts = [line[5:].strip() for line in event.splitlines() if line.startswith(b"data:")]
        return parts[0] if len(parts) == 1 else b"\n".join(parts)


class AwsMessages:
    """Messages of AWS: their length and that of their headers, a checksum, headers, payload, a checksum. The payload
    has an event of the model's maker in base64."""

    def __init__(self) -> None:
        self.rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """The messages that are whole now."""
        data = self.rest + data
        messages, begin = [], 0
        while len(data) - begin >= _FEWEST:
            length = int.from_bytes(data[begin : begin + 4], "big")
            if not _FEWEST <= length <= _MOST:  # no message: it goes on as it is
                length = len(data) - begin
            if len(data) - begin < length:
                break
            messages.append(data[begin : begin + length])
            begin += length
        self.rest = data[begin:]
        return messages

    def payload(self, event: bytes) -> bytes:
        """The event in a message; an exception is one that tells of an error."""
        headers = int.from_bytes(event[4:8], "big")
        found = msgspec.json.decode(event[12 + headers : -4] or b"{}")
        if isinstance(text := found.get("bytes"), str):
            return base64.b64decode(text)
        if b"exception" in event[12 : 12 + headers]:
            return msgspec.json.encode({"type": "error", "error": {"message": found.get("message", "exception")}})
        return b""


def data_of_named(event: bytes) -> bytes:
    """The data of an event that is its name and a line of data; empty where it begins otherwise."""
    name, _, data = event.partition(b"\ndata:")
    return data if name.startswith(b"event:") and b"\n" not in name else b""


def framing_of(media_type: str) -> Framing:
    """How a body is framed that says so of itself."""
    return AwsMessages() if media_type.startswith(AWS) else Frames()
