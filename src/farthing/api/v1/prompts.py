"""Prompts: what goes into a model and how much is expected to come out, for estimates."""

from typing import Annotated, Any, Final

from msgspec import UNSET, Meta, Struct

from farthing.core.estimate import count_prompt, count_tokens

from .fields import Fields

MAX_TOKENS: Final = 10**9
MAX_MESSAGES: Final = 10_000

Tokens = Annotated[int, Meta(ge=0, le=MAX_TOKENS)]
Messages = Annotated[
    list[Any],
    Meta(
        min_length=1,
        max_length=MAX_MESSAGES,
        description='Such as `{"role": "user", "content": "..."}`; of text alone.',
    ),
]


class PromptBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """What goes into a model: one of the three."""

    tokens: Annotated[Tokens | None, Meta(description="As counted with the vendor's tokenizer: the surest.")] = None
    text: Annotated[str | None, Meta(description="Counted roughly: about four bytes a token.")] = None
    messages: Messages | None = None


class CompletionBody(Struct, kw_only=True, forbid_unknown_fields=True):
    """How many tokens are expected to come out."""

    expected: Annotated[
        Tokens | None, Meta(description="Left out: the mean of this model's answers of late, or 500.")
    ] = None
    min: Annotated[Tokens | None, Meta(description="Left out: 0.")] = None
    max: Annotated[Tokens | None, Meta(description="Left out: twice what is expected.")] = None


# Reading


def read_prompt(fields: Fields) -> tuple[int, bool]:
    """Tokens of the prompt, and whether they were counted by the caller."""
    part = fields.part("prompt", PromptBody)
    if part is None:
        fields.refuse("prompt", "is missing")
        return 0, False
    given = [name for name in ("tokens", "text", "messages") if getattr(part.values, name) not in (UNSET, None)]
    if len(given) != 1 and not part.wrong and all(w.pointer != "/prompt" for w in fields.wrong):
        fields.refuse("prompt", "must have one of tokens, text and messages")
    tokens = part.whole("tokens", 0, MAX_TOKENS, 0)
    if "text" in given:
        tokens = count_tokens(_text(part, "text"))
    elif "messages" in given:
        tokens = count_prompt(_messages(part))
    fields.wrong += part.wrong
    return tokens, "tokens" in given


def _text(part: Fields, name: str) -> str:
    value = getattr(part.values, name)
    if type(value) is not str:
        part.refuse(name, "must be a text")
        return ""
    return value


def _messages(part: Fields) -> list[str]:
    value = part.values.messages
    if type(value) is not list or not 0 < len(value) <= MAX_MESSAGES:
        part.refuse("messages", f"must be a list of 1 to {MAX_MESSAGES:,} messages")
        return []
    texts = [_text_of(message) for message in value]
    for number, text in enumerate(texts):
        if text is None:
            why = "must be an object whose content is text; count other content yourself, and send `tokens`"
            part.refuse("messages", why, str(number))
            break
    return [text or "" for text in texts]


def _text_of(message: Any) -> str | None:
    """The text of a message: its content, or the text parts of that; None where anything else is in it."""
    content = message.get("content") if type(message) is dict else None
    if type(content) is str:
        return content
    if type(content) is not list:
        return None
    texts = [part.get("text") if type(part) is dict else None for part in content]
    return None if any(type(text) is not str for text in texts) else "\n".join(map(str, texts))


def read_completion(fields: Fields) -> tuple[int | None, int, int | None]:
    """Expected, least and most, as `estimate` takes them."""
    part = fields.part("completion", CompletionBody)
    if part is None:
        return None, 0, None
    expected, least, most = (part.whole(name, 0, MAX_TOKENS, -1) for name in ("expected", "min", "max"))
    fields.wrong += part.wrong
    return None if expected < 0 else expected, max(least, 0), None if most < 0 else most
