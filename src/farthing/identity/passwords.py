"""Passwords: hashed with argon2id, a few at a time in threads, so that the event loop and the charges on it never wait.

What is set here is put into Unicode's form NFKC first: the same password typed on two keyboards is the same. The bcrypt
hashes of older systems were made of the text as it was sent, so they are compared with that; who signs in by one is
hashed anew. A name that nobody has takes the same work as one that somebody has: a hash of nothing is checked.
"""

import asyncio
import contextlib
import os
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
        known = stored.startswith("$argon2")
        try:
            self._hasher.verify(stored if known else self._hash_of_nobody(), normal(password))
        except (VerificationError, InvalidHashError):
            return Checked(False)
        return Checked(known, known and self._hasher.check_needs_rehash(stored))

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
