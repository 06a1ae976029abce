"""The README's table of differences, line by line: what transformers does, and what we do."""

import numpy as np
import pytest

from minibert import EMBEDDED_CHECKPOINT, AutoModel, AutoModelForMaskedLM

REASON = "a live check: pip install torch==2.13.0, then transformers"
torch = pytest.importorskip("torch", reason=REASON)
transformers = pytest.importorskip("transformers", reason=REASON)

IDS = [[5, 6, 7], [8, 9, 0]]
MASK = [[1, 1, 1], [1, 1, 0]]


@pytest.fixture(scope="module")
def ours():
    return AutoModel.from_pretrained(EMBEDDED_CHECKPOINT)


@pytest.fixture(scope="module")
def theirs():
    return transformers.AutoModel.from_pretrained(EMBEDDED_CHECKPOINT).eval()


def test_lists(ours, theirs):
    with pytest.raises(AttributeError):
        theirs(IDS)
    assert ours(IDS)[0].shape == ours(np.array(IDS))[0].shape == (2, 3, 96)


def test_padded_positions(ours, theirs):
    with torch.no_grad():
        said = theirs(torch.tensor(IDS), torch.tensor(MASK)).last_hidden_state.numpy()
    found = ours(IDS, MASK).last_hidden_state
    np.testing.assert_allclose(found[0], said[0], rtol=0, atol=1e-4)
    assert (found[1, 2] == 0).all()
    assert (said[1, 2] != 0).any()


def test_attentions(ours, theirs):
    assert theirs(torch.tensor(IDS), output_attentions=True).attentions == ()
    assert len(ours(IDS, output_attentions=True).attentions) == len(ours.layers)


def test_unpacking(ours, theirs):
    assert [*theirs(torch.tensor(IDS))] == ["last_hidden_state", "pooler_output"]
    with pytest.raises(TypeError, match="to_tuple"):
        _, _ = ours(IDS)


def test_safe_serialization(ours, theirs, tmp_path):
    theirs.save_pretrained(tmp_path / "theirs", safe_serialization=False)
    assert (tmp_path / "theirs" / "model.safetensors").exists()
    ours.save_pretrained(tmp_path / "ours", safe_serialization=False)
    assert (tmp_path / "ours" / "pytorch_model.bin").exists()


def test_float16(tmp_path):
    model = transformers.AutoModel.from_pretrained(EMBEDDED_CHECKPOINT)
    model.half().save_pretrained(tmp_path)
    assert transformers.AutoModel.from_pretrained(tmp_path).dtype == torch.float16
    assert AutoModel.from_pretrained(tmp_path).dtype == np.float32


def test_errors_name_the_place(ours, theirs):
    with pytest.raises(IndexError, match="index out of range in self"):
        theirs(torch.tensor([[-1, 5]]))
    with pytest.raises(ValueError, match=r"input_ids\[0, 0\] is -1"):
        ours([[-1, 5]])
    with pytest.raises(ValueError, match="expected sequence of length 2 at dim 1"):
        torch.tensor([[1, 2], [3]])
    with pytest.raises(ValueError, match="row 1 has 1 entries"):
        ours([[1, 2], [3]])


def test_labels():
    """Where nothing is padding both have the same loss; a label at padding is counted there."""
    with torch.no_grad():
        model = transformers.AutoModelForMaskedLM.from_pretrained(EMBEDDED_CHECKPOINT).eval()
        given = {"attention_mask": torch.tensor(MASK), "labels": torch.tensor(IDS)}
        ignored = torch.tensor([*IDS[:1], [*IDS[1][:2], -100]])
        counted = model(torch.tensor(IDS), **given).loss.item()
        expected = model(torch.tensor(IDS), **{**given, "labels": ignored}).loss.item()
    assert counted != expected
    ours = AutoModelForMaskedLM.from_pretrained(EMBEDDED_CHECKPOINT)
    with pytest.raises(ValueError, match=r"labels\[1, 2\] is 0, and the token is padding"):
        ours(IDS, MASK, labels=IDS)
    assert ours(IDS, MASK, labels=ignored.numpy()).loss == pytest.approx(expected, rel=1e-5)
