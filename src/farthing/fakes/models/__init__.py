"""A stand-in for model providers: OpenAI's chat completions, responses and embeddings and Anthropic's messages, whole
and as streams; answers and counts of tokens that anybody can check; streams that are cut, held or fail; and books of
every call: what was asked, what was written, what is billed.

In a test: `with running() as models: ...`.
"""

from farthing.fakes.web import Remote

from .habits import HEADER, Habits
from .program import Fake, Options, running

__all__ = ["HEADER", "Fake", "Habits", "Options", "Remote", "running"]
