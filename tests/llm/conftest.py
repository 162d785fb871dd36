"""What the tests of metering share: the stand-in for model providers, and the vendors' own libraries on it."""

from collections.abc import Iterator

import pytest

from farthing.fakes.models import Remote, running
from tests.llm.vendors import Vendors


@pytest.fixture(scope="session")
def models() -> Iterator[Remote]:
    """A stand-in; a test tells it by a header of its calls what they are to meet."""
    with running() as remote:
        yield remote


@pytest.fixture(scope="session")
def vendors(models: Remote) -> Iterator[Vendors]:
    """OpenAI's and Anthropic's libraries, on the stand-in."""
    found = Vendors(models.url)
    yield found
    found.close()
