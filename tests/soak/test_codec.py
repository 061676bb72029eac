"""The codec keeps its promises for as long as there is time to try."""

import os
import secrets

from tests.soak.fuzz_codec import fuzz

SECONDS = float(os.environ.get("TARMAK_FUZZ_S", "60"))


def test_no_spoiled_message_breaks_the_codec() -> None:
    """Minutes of altered bytes and values give messages and CodecErrors, in bounded memory."""
    answers = fuzz(SECONDS, secrets.randbits(32))
    assert answers["a message"] > 0
    assert answers["refused at a field"] > 0
    assert answers["refused at the whole"] > 0
