"""Secrets where they are needed: what `env:NAME` and `file:/path` name is read when it is used, so that a new one
counts at once. An error says the reference, and never what was found there.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

from farthing.core.providers import (
    Digistore24Settings,
    Mode,
    StripeSettings,
    is_reference,
    secrets_of,
    text_problem,
    with_secrets,
)

S = TypeVar("S", Digistore24Settings, StripeSettings)
MOST_BYTES: Final = 10_000


class SecretError(Exception):
    """A secret that can't be had, or can't be right; the message names where it should be."""


def usable(settings: S, mode: Mode, environment: Mapping[str, str] = os.environ) -> S:
    """Settings with the secrets themselves, for a workspace of that mode."""
    texts = {}
    for field, text in secrets_of(settings):
        if is_reference(text):
            texts[field] = _followed(text, environment)
            if wrong := text_problem(settings, field, texts[field], mode):
                raise SecretError(f"{text}, which {field} refers to, {wrong}")
        else:
            texts[field] = text
    found = with_secrets(settings, texts)
    assert isinstance(found, type(settings))
    return found


def _followed(reference: str, environment: Mapping[str, str]) -> str:
    """What a reference names; what ends a line at its end is none of it."""
    kind, _, name = reference.partition(":")
    if kind == "env":
        found = environment.get(name)
        if found is None:
            raise SecretError(f"{reference}: this process has no such variable")
    else:
        found = _read(reference, Path(name))
    text = found.rstrip("\r\n")
    if not text:
        raise SecretError(f"{reference} is empty")
    return text


def _read(reference: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
        if len(raw) > MOST_BYTES:
            raise SecretError(f"{reference} has more than {MOST_BYTES:,} bytes: it is no secret")
        return raw.decode()
    except OSError as error:
        raise SecretError(f"{reference} can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        # Its cause would have what was read in it.
        raise SecretError(f"{reference} is no text") from None
