import pytest

from minibert.checkpoint.keywords import without_effect


@pytest.mark.parametrize(
    "options",
    [
        {"attn_implementation": "flash_attention_2", "use_fast": False},
        {"device_map": {"": "cpu"}, "max_memory": {0: "1GB"}, "trust_remote_code": True},
        {"variant": None, "from_tf": False, "subfolder": "", "use_safetensors": None},
    ],
)
def test_what_changes_nothing_is_left_out(options):
    assert without_effect({**options, "num_labels": 3}) == {"num_labels": 3}


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("device_map", {"": 0}, "CPU alone"),
        ("attn_implementation", "paged", "one attention"),
        ("low_cpu_mem_usage", "yes", "True, False and None change nothing"),
        ("variant", "fp16", "safetensors"),
        ("subfolder", "onnx", "path of the folder"),
        ("use_auth_token", "a\nb", "token="),
    ],
)
def test_what_asks_for_something_else_is_refused(name, value, says):
    with pytest.raises(TypeError, match=f"{name}=.* is of transformers and not here: .*{says}"):
        without_effect({name: value})
