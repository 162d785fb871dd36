"""The CountWerk dialect answers as it did when the transcript was recorded, byte for byte."""

from pathlib import Path

from farthing.api.countwerk.endpoints import ENDPOINTS
from tests.api.transcripts import STORY, path_of, play, recorded


def test_the_dialect_answers_as_recorded(tmp_path: Path, fresh_url: str):
    pairs = recorded()
    requests = [pair["request"] for pair in pairs]
    told = play(tmp_path, [(r["call"], r["body"], r["after_seconds"], r["headers"]) for r in requests], fresh_url)
    for now, then in zip(told, pairs, strict=True):
        assert now == then


def test_the_transcript_is_the_story_and_has_every_endpoint():
    requests = [pair["request"] for pair in recorded()]
    assert [(r["call"], r["body"], r["after_seconds"], r["headers"]) for r in requests] == STORY
    assert {path_of(r["call"]) for r in requests} == {e.path for e in ENDPOINTS}
