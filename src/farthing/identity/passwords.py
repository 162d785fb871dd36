"""Passwords: hashed with argon2id, a few at a time in threads, so that the event loop and the charges on it never wait.

What is set here is put into Unicode's form NFKC first: the same password typed on two keyboards is the same. The hashes
of older systems were made of the text as it was sent, so they are compared with that as well; who signs in by one is
hashed anew. A name that nobody has takes the same work as one that somebody has: a hash of nothing is checked.
"""

import asyncio
import contextlib
import os
import re
import sys
import threading
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import bcrypt
from argon2 import Parameters, PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from argon2.profiles import RFC_9106_LOW_MEMORY
from msgspec import Struct

T = TypeVar("T")
AT_ONCE: Final = 2
WAITING: Final = 200
"""How many may wait for their turn; beyond: later, nothing was tried."""
_BCRYPT: Final = ("$2a$", "$2b$", "$2y$")
_BCRYPT_BYTES: Final = 72
_NICENESS: Final = 5
_BCRYPT_FORM: Final = re.compile(r"\$2[aby]\$([0-9]{2})\$[./A-Za-z0-9]{53}")
_BCRYPT_COSTS: Final = range(4, 17)
_ARGON2_FORM: Final = re.compile(
    r"\$argon2(?:id|i|d)\$v=(?:16|19)\$m=([0-9]{1,7}),t=([0-9]{1,3}),p=([0-9]{1,2})\$[A-Za-z0-9+/]{11,}\$[A-Za-z0-9+/]{16,}"
)
_ARGON2_MOST: Final = (1_048_576, 64, 64)
"""KiB, rounds and lanes: what costs more would keep a login, and all that wait for it, for a long time."""


class Crowded(Exception):
    """Too many wait to have a password looked at; nothing was tried."""


class Checked(Struct, frozen=True):
    """Whether a password was right, and whether its hash is to be made anew."""

    right: bool
    outdated: bool = False


class Passwords:
    """Makes and checks hashes, whoever has a turn."""

    def __init__(self, parameters: Parameters = RFC_9106_LOW_MEMORY, at_once: int = AT_ONCE) -> None:
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="farthing-password", initializer=_step_back)
        self._turns = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._nobody = ""
        self._making = threading.Lock()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator["Turn"]:
        """A turn, once it has come; what is counted against guesses is counted within it."""
        if self._waiting >= WAITING:
            raise Crowded
        self._waiting += 1
        try:
            await self._turns.acquire()
        finally:
            self._waiting -= 1
        try:
            yield Turn(self)
        finally:
            self._turns.release()

    async def hash(self, password: str) -> str:
        """A new hash, in a turn of its own."""
        async with self.turn() as turn:
            return await turn.hash(password)

    def close(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    # In a thread

    async def in_thread(self, work: Callable[[], T]) -> T:
        """Run it beside the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def hash_now(self, password: str) -> str:
        """A new hash; takes its time."""
        return self._hasher.hash(normal(password))

    def check_now(self, stored: str, password: str) -> Checked:
        """Whether a password has that hash; takes its time, also where nobody has it."""
        if stored.startswith(_BCRYPT):
            return Checked(_has_bcrypt(stored, password), outdated=True)
        if not stored.startswith("$argon2"):
            self._has_argon2(self._hash_of_nobody(), normal(password))
            return Checked(False)
        if self._has_argon2(stored, normal(password)):
            return Checked(True, self._hasher.check_needs_rehash(stored))
        raw = password.encode(errors="surrogatepass")
        right = raw != normal(password) and self._has_argon2(stored, raw)
        return Checked(right, outdated=right)

    def _has_argon2(self, stored: str, text: bytes) -> bool:
        try:
            return self._hasher.verify(stored, text)
        except (VerificationError, InvalidHashError):
            return False

    def _hash_of_nobody(self) -> str:
        with self._making:
            self._nobody = self._nobody or self._hasher.hash(os.urandom(16))
        return self._nobody


class Turn:
    """The right to have passwords looked at now."""

    def __init__(self, passwords: Passwords) -> None:
        self._passwords = passwords

    async def check(self, stored: str, password: str) -> Checked:
        """Whether a password has that hash; empty is the hash of nobody."""
        return await self._passwords.in_thread(lambda: self._passwords.check_now(stored, password))

    async def hash(self, password: str) -> str:
        """A new hash."""
        return await self._passwords.in_thread(lambda: self._passwords.hash_now(password))


def normal(password: str) -> bytes:
    """What is hashed of a password."""
    return unicodedata.normalize("NFKC", password).encode(errors="surrogatepass")


def hash_error(text: str) -> str | None:
    """Why a text can't be the hash of a password that another system has made."""
    if found := _BCRYPT_FORM.fullmatch(text):
        return None if int(found[1]) in _BCRYPT_COSTS else "is a bcrypt hash of a cost that is not from 4 to 16"
    if found := _ARGON2_FORM.fullmatch(text):
        cheap = all(0 < int(cost) <= most for cost, most in zip(found.groups(), _ARGON2_MOST, strict=True))
        return None if cheap else "is an argon2 hash that takes too much memory or time"
    return "must be a bcrypt hash ($2a$, $2b$, $2y$) or an argon2 hash, as the old system has it"


def _has_bcrypt(stored: str, password: str) -> bool:
    # Older systems cut off what bcrypt can't hold; the library refuses it.
    text = password.encode(errors="surrogatepass")[:_BCRYPT_BYTES]
    try:
        return bcrypt.checkpw(text, stored.encode())
    except ValueError:
        return False


def _step_back() -> None:
    """Charges come first: the threads that hash get what time is left. On Linux a thread has a niceness of its own."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
