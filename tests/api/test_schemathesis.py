"""schemathesis finds nothing: what the OpenAPI document says about an operation is what the server does.

The longest tests of all, of two or three seconds each: nearly all of it goes into making requests up.
"""

from pathlib import Path

import pytest

from tests.api.fuzz import ENDPOINTS, Fuzz
from tests.api.serving import Server

EXAMPLES = 200
SEED = 1


@pytest.mark.parametrize("operation", ENDPOINTS)
def test_the_document_is_true(tmp_path: Path, operation: str):
    # A ledger for each: what one operation does must not decide what another is answered.
    with Server(tmp_path) as server:
        fuzz = Fuzz(server)
        found = fuzz.run(operation, EXAMPLES, SEED)
        assert not found, "\n\n".join(found)
        # All of this would be true of a server that refuses everything.
        # ("examples" are sent as they stand, and need not be of things that are there.)
        went_well = {status for phase, status in fuzz.met if phase != "examples" and status in (200, 201)}
        assert went_well, fuzz.met
        assert not any(status >= 500 for _, status in fuzz.met)
