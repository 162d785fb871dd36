"""schemathesis finds nothing: what the OpenAPI documents say about an operation is what the server does.

The longest tests of all, of about two seconds each: nearly all of it goes into making requests up.
"""

from pathlib import Path

import pytest

from tests.api.fuzz import OPERATIONS, Fuzz, served

EXAMPLES = 5
SEED = 1


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_document_is_true(tmp_path: Path, operation: str):
    # A ledger for each: what one operation does must not decide what another is answered.
    with served(tmp_path) as server:
        fuzz = Fuzz(server, operation)
        found = fuzz.run(EXAMPLES, SEED)
        assert not found, "\n\n".join(found)
        # All of this would be true of a server that refuses everything.
        # ("examples" are sent as they stand, and need not be of things that are there.)
        went_well = {status for phase, status in fuzz.met if phase != "examples" and status in (200, 201)}
        assert went_well, fuzz.met
        assert not any(status >= 500 for _, status in fuzz.met)
