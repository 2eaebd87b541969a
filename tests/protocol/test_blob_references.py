"""References say what was put into them, to whoever has the key, and nothing to anybody who changed them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maxlake.protocol import limits
from maxlake.protocol.blob_references import (
    DECODED_PREFIX,
    KEY_BYTES,
    BlobLocation,
    BlobReference,
    decoded,
    encoded,
    project_of,
    seal,
    unseal,
)

KEY = bytes(range(KEY_BYTES))
UNSIGNED = st.integers(0, 2**63 - 1)
REFERENCES = st.builds(
    BlobReference,
    project=st.from_regex(r"\A[\w-]{1,20}\Z").filter(str.isprintable),
    table_id=UNSIGNED,
    location=st.builds(
        BlobLocation,
        st.from_regex(r"\A[0-9]{6}/[a-z0-9]{1,30}/[a-zA-Z0-9_.-]{1,64}\Z"),
        UNSIGNED,
        UNSIGNED,
        UNSIGNED,
    ),
    mime_type=st.none() | st.text(max_size=20),
    file_name=st.none() | st.text(max_size=20),
)
ONE = BlobReference(project="p", table_id=3, location=BlobLocation("202611/s/0-a", 5, 6, 7), mime_type="a/b")


@given(REFERENCES)
def test_round_trip_in_either_form(reference):
    text = seal(reference, KEY)
    assert unseal(text, KEY) == reference
    assert project_of(text) == reference.project
    assert decoded(text) == decoded(encoded(text)) == text
    assert text.encode().startswith(DECODED_PREFIX)
    assert encoded(text).encode().decode("utf-8")


@given(REFERENCES, st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES).filter(lambda key: key != KEY))
def test_another_key_says_nothing(reference, key):
    assert unseal(seal(reference, KEY), key) is None


def test_no_character_can_be_changed_left_out_or_added():
    text = seal(ONE, KEY)
    for place in range(len(text)):
        for changed in (
            text[:place] + ("x" if text[place] != "x" else "y") + text[place + 1 :],
            text[:place] + text[place + 1 :],
            text[:place] + ":" + text[place:],
        ):
            assert unseal(changed, KEY) is None, changed


@given(st.text() | st.text(alphabet=":abc=+/", max_size=30))
def test_what_is_no_reference_is_none_in_either_form(text):
    assert unseal(text, KEY) is None
    assert decoded(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "maxlake-blob:1:\ud800:o:d:m",
        "maxlake-blob:1:a\nb:o:d:m",
        "maxlake-blob:1:" + "x" * 3000,
        "====",
        "é",
    ],
)
def test_what_cannot_be_signed_is_no_reference(text):
    assert decoded(text) is None


def test_the_longest_fits():
    place = BlobLocation(f"202611/{'s' * 34}/{'i' * 64}-{'n' * 12}", 2**63 - 1, 2**63 - 1, 2**32 - 1)
    longest = BlobReference(
        project="ß" * 117,
        table_id=2**63 - 1,
        location=place,
        mime_type="x" * limits.MAX_MIME_TYPE,
        file_name="x" * limits.MAX_BLOB_NAME,
    )
    assert decoded(seal(longest, KEY)) is not None
