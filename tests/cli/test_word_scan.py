"""The scan for words finds each planted copy of a word, in each form, whatever its case; and nothing elsewhere."""

from pathlib import Path

import pytest

from mailserver.cli.word_scan import find_traces, plant_copies


@pytest.mark.parametrize("word", ["zobeline-quartz", "PAT-TROIS", "Dossier-Xylophone", "Épître-zoé"])
def test_each_planted_copy_is_found(tmp_path: Path, word: str) -> None:
    copies = plant_copies(tmp_path, word)
    traces = find_traces(tmp_path, [word, "absent-mot"])
    assert copies - {trace.path for trace in traces} == set()
    assert {trace.word for trace in traces} == {word}


def test_other_words_are_not_taken_for_it(tmp_path: Path) -> None:
    plant_copies(tmp_path, "zobeline-quartz")
    assert find_traces(tmp_path, ["zobeline-quarte", "quartz-zobeline"]) == []


def test_what_compressed_streams_hide_has_its_view(tmp_path: Path) -> None:
    plant_copies(tmp_path, "zobeline-quartz")
    views = {trace.path: trace.view for trace in find_traces(tmp_path, ["zobeline-quartz"])}
    assert {views[name] for name in ("zlib", "gzip", "zip")} == {"inflated"}
