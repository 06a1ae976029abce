import json

import pytest

from minibert.verification.inputs import read_inputs


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("\x1b[31m", r"^\\x1b\[31m holds text"),
        ("\u202e", r"^\\u202e h"),
        ("é" * 999, "^é{80}... h"),
    ],
)
def test_a_name_in_a_file_is_shown_as_a_terminal_may_show_it(tmp_path, name, says):
    (tmp_path / "inputs.json").write_text(json.dumps({name: ["a"]}))
    with pytest.raises(TypeError, match=says):
        read_inputs([str(tmp_path / "inputs.json")], tmp_path)
