"""Auth services for the tests: secrets, key pairs, tokens signed by them, and a server that publishes keys."""

import json
import threading
import time
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from farthing.core.people import Algorithm, Issuer
from tests.support import START_US

NOW = START_US // 1_000_000
SECRET = "a secret of thirty-two bytes, 32"
ISSUER = "https://auth.example.com/"
AUDIENCE = "credits"
HS256 = Issuer(id="iss_1", workspace="main", name="auth", algorithm="HS256", secret=SECRET)


class Pair:
    """A private key that signs, and its public half as it is published."""

    def __init__(self, algorithm: Algorithm, kid: str) -> None:
        self.algorithm, self.kid = algorithm, kid
        self.private: Any
        if algorithm == "RS256":
            self.private = rsa.generate_private_key(65_537, 2_048)
            public = RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        elif algorithm == "ES256":
            self.private = ec.generate_private_key(ec.SECP256R1())
            public = ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        else:
            self.private = ed25519.Ed25519PrivateKey.generate()
            public = OKPAlgorithm.to_jwk(self.private.public_key(), as_dict=True)
        public.pop("key_ops", None)
        self.jwk: dict[str, Any] = {**public, "kid": kid, "use": "sig", "alg": algorithm}

    @property
    def public(self) -> Any:
        return self.private.public_key()

    @property
    def pem(self) -> bytes:
        pem: bytes = self.public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return pem

    def sign(self, header: dict[str, Any] | None = None, **changes: Any) -> str:
        """A token of this key."""
        headers = {"kid": self.kid, **(header or {})}
        return jwt.encode(claims(iss=ISSUER, aud=AUDIENCE, **changes), self.private, self.algorithm, headers)

    def issuer(self, jwks_url: str = "https://auth.example.com/jwks.json", **changes: Any) -> Issuer:
        """Its issuer, as a workspace has set it."""
        fields: dict[str, Any] = {
            "id": "iss_2", "workspace": "main", "name": "auth", "algorithm": self.algorithm, "issuer": ISSUER,
            "audience": AUDIENCE, "jwks_url": jwks_url,
        }  # fmt: skip
        return Issuer(**fields | changes)


RSA, EC, ED = Pair("RS256", "r1"), Pair("ES256", "e1"), Pair("EdDSA", "d1")
PAIRS = {pair.algorithm: pair for pair in (RSA, EC, ED)}


def claims(**changes: Any) -> dict[str, Any]:
    """What a good token says; a change to None leaves it out."""
    said = {
        "sub": "u1", "username": "anna", "email": "anna@example.com", "role": "user", "type": "access", "iat": NOW,
        "exp": NOW + 900,
    }  # fmt: skip
    return {name: value for name, value in (said | changes).items() if value is not None}


def sign(secret: str = SECRET, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token of a shared secret."""
    return jwt.encode(claims(**changes), secret, "HS256", header)


def part(value: Any) -> str:
    """A part of a token."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class KeyServer:
    """Publishes a key set, or whatever else it is told to."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}/jwks.json"
        self.asked = 0
        self.status = 200
        self.body = b""
        self.slow = 0.0
        self.headers: dict[str, str] = {}

    def publish(self, *keys: Any) -> None:
        self.body = json.dumps({"keys": [key.jwk if isinstance(key, Pair) else key for key in keys]}).encode()


@contextmanager
def publishing(*pairs: Pair) -> Iterator[KeyServer]:
    """A server that publishes keys."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.asked += 1
            if server.slow:
                time.sleep(server.slow)
            self.send_response(server.status)
            for name, value in server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            try:
                self.wfile.write(server.body)
            except ConnectionError:  # who asked has had enough
                self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = KeyServer(listening.server_address[1])
    server.publish(*pairs)
    thread = threading.Thread(target=lambda: listening.serve_forever(0.01))
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        listening.server_close()
        thread.join()
