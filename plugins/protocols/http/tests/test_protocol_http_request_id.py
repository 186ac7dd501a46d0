"""Request ids are random UUIDs."""

import uuid

from plait_protocol_http.request_id import RequestIds


def test_ids_are_version_4_and_never_the_same() -> None:
    ids = RequestIds()
    made = [ids.next().decode() for _ in range(1000)]
    assert len(set(made)) == 1000
    for text in made:
        parsed = uuid.UUID(text)
        assert str(parsed) == text
        assert parsed.version == 4
        assert parsed.variant == uuid.RFC_4122
