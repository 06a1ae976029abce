import json
import shutil

import pytest
from safetensors.numpy import load_file, save_file
from wide import WIDE

from minibert import EMBEDDED_CHECKPOINT, BertConfig, BertModel, BertTokenizer, GPT2Model
from minibert.models import auto


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(WIDE, tmp_path / "copy")


def rewrite(folder, **changes):
    path = folder / "config.json"
    config = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({k: v for k, v in config.items() if v is not None}))
    return folder


def test_the_model_type_chooses_the_class(folder):
    assert type(auto.AutoConfig.from_pretrained(folder)) is BertConfig
    assert type(auto.AutoModel.from_pretrained(folder)) is BertModel


@pytest.mark.parametrize("task", [name for name in auto.CLASSES["bert"] if name[0].isupper()])
@pytest.mark.filterwarnings("ignore:not in the checkpoint, newly initialized")
def test_every_task_has_its_auto_class(folder, task):
    kind = getattr(auto, f"AutoModelFor{task}")
    model = kind.from_pretrained(folder, num_hidden_layers=1)
    assert type(model).__name__ == f"BertFor{task}"
    assert len(model.bert.layers) == 1
    assert type(kind.from_config(model.config)) is type(model)


def test_dtype_and_overrides_are_passed_on(folder):
    model = auto.AutoModel.from_pretrained(folder, dtype="float64", num_hidden_layers=1)
    assert (model.dtype.name, len(model.layers)) == ("float64", 1)
    assert auto.AutoConfig.from_pretrained(folder, num_labels=7).num_labels == 7


@pytest.mark.parametrize(
    "architectures", [["BertModel"], ["BertForMaskedLM"], ["Other", "BertModel"]]
)
def test_without_a_model_type_the_architectures_tell(folder, architectures):
    rewrite(folder, model_type=None, architectures=architectures)
    assert type(auto.AutoModel.from_pretrained(folder)) is BertModel


def test_a_model_type_of_null_is_none(folder):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_type": None}))
    assert type(auto.AutoConfig.from_pretrained(folder)) is BertConfig
    assert type(auto.AutoModel.from_pretrained(folder)) is BertModel


@pytest.mark.parametrize("architectures", [None, ["Other"], []])
@pytest.mark.filterwarnings("ignore:.*names the architecture Other")
def test_without_architectures_the_tensors_tell(folder, architectures):
    rewrite(folder, model_type=None, architectures=architectures)
    assert type(auto.AutoModel.from_pretrained(folder)) is BertModel


def test_if_nothing_tells_it_says_what_to_call(folder):
    rewrite(folder, model_type=None, architectures=None)
    tensors = load_file(folder / "model.safetensors")
    save_file(
        {f"other_{name}": value for name, value in tensors.items()}, folder / "model.safetensors"
    )
    with pytest.raises(ValueError, match=r"BertModel\.from_pretrained"):
        auto.AutoModel.from_pretrained(folder)


def test_a_config_alone_is_no_crash(folder):
    rewrite(folder, model_type=None, architectures=None)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match="no model_type"):
        auto.AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize("found", ["roberta", 7, "", ["bert"], {}])
def test_an_unknown_model_type_lists_the_known(folder, found):
    rewrite(folder, model_type=found)
    with pytest.raises(ValueError, match=r"model_type .*; known: bert"):
        auto.AutoModel.from_pretrained(folder)


def test_another_models_class_refuses_without_a_word_before(folder):
    """The architecture is not read as another one, so no warning says that it is."""
    rewrite(folder, architectures=["BertModel"])
    hint = r"GPT2Config reads 'gpt2'\. AutoModel and AutoConfig choose the class by it"
    with pytest.raises(ValueError, match=hint):
        GPT2Model.from_pretrained(folder)


class TestTokenizer:
    """Whose tokenizer is it? tokenizer_config.json tells; where it is silent, config.json."""

    @pytest.fixture
    def folder(self, tmp_path):
        for name in ("config.json", "tokenizer.json", "vocab.txt"):
            shutil.copy(EMBEDDED_CHECKPOINT / name, tmp_path)
        return tmp_path

    @pytest.mark.parametrize("name", ["BertTokenizer", "BertTokenizerFast"])
    def test_its_class_tells(self, folder, name):
        (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": name}))
        rewrite(folder, model_type="other")  # not looked at
        tokenizer = auto.AutoTokenizer.from_pretrained(folder, model_max_length=7)
        assert type(tokenizer) is BertTokenizer
        assert tokenizer.model_max_length == 7

    @pytest.mark.parametrize("said", [None, {}, {"tokenizer_class": None}])
    def test_or_the_model_type(self, folder, said):
        if said is not None:
            (folder / "tokenizer_config.json").write_text(json.dumps(said))
        assert type(auto.AutoTokenizer.from_pretrained(folder)) is BertTokenizer
        rewrite(folder, model_type="other")
        with pytest.raises(ValueError, match="model_type 'other'; known: bert"):
            auto.AutoTokenizer.from_pretrained(folder)


def test_weights_are_drawn_by_the_seed():
    config = BertConfig.from_pretrained(WIDE)
    drawn = [auto.AutoModel.from_config(config, **seed) for seed in ({}, {"seed": 0}, {"seed": 1})]
    first, same, other = (model.state_dict()["pooler.dense.weight"] for model in drawn)
    assert (first == same).all()
    assert (first != other).any()


@pytest.mark.parametrize("arguments", [(), (BertConfig(),), ("bert-base-cased",)])
@pytest.mark.parametrize(
    "name", ["AutoModel", "AutoModelForMaskedLM", "AutoConfig", "AutoTokenizer"]
)
def test_an_auto_class_is_not_made_itself(name, arguments):
    with pytest.raises(TypeError, match=rf"call {name}\.from_pretrained"):
        getattr(auto, name)(*arguments)


@pytest.mark.parametrize("name", [None, 7, BertConfig(), ["a", "b"]])
@pytest.mark.parametrize("kind", ["AutoModel", "AutoConfig", "AutoTokenizer"])
def test_what_is_no_name_is_told(kind, name):
    found = {"NoneType": "None", "int": "an int"}.get(
        kind_of := type(name).__name__, f"a {kind_of}"
    )
    with pytest.raises(TypeError, match=f"name of a model is {found}; needed: a folder or a Hub"):
        getattr(auto, kind).from_pretrained(name)


def test_from_config_takes_a_config():
    with pytest.raises(TypeError, match="takes a config, found a dict"):
        auto.AutoModel.from_config({"hidden_size": 21})
