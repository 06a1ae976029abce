import errno
import json
import os
import socket
import stat
import threading
from pathlib import Path

import pytest

from minibert.checkpoint.files import (
    describe,
    read_json,
    require_file,
    require_folder,
    sha256,
    visible,
)
from minibert.checkpoint.limits import MAX_JSON_BYTES
from minibert.checkpoint.writing import replace_file, write_whole


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Return what puts something into the current folder and returns its path."""
    monkeypatch.chdir(tmp_path)  # the name of a socket must be short

    def socket_at(path):
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)

    makers = {
        "nothing": lambda path: None,
        "folder": lambda path: path.mkdir(),
        "file": lambda path: path.write_text("{}"),
        "FIFO": os.mkfifo,
        "socket": socket_at,
        "dangling link": lambda path: path.symlink_to("elsewhere"),
        "looping link": lambda path: path.symlink_to(path.name),
        "link to a device": lambda path: path.symlink_to(os.devnull),
        "link to a FIFO": lambda path: (os.mkfifo("pipe"), path.symlink_to("pipe")),
        "link to a file": lambda path: ((tmp_path / "f").write_text("{}"), path.symlink_to("f")),
        "link to a folder": lambda path: ((tmp_path / "d").mkdir(), path.symlink_to("d")),
    }

    def place(what):
        makers[what](tmp_path / "thing")
        return tmp_path / "thing"

    return place


NO_FILE = {
    "nothing": (FileNotFoundError, "there is no file '{}'"),
    "folder": (OSError, "'{}' is a folder; a regular file is needed"),
    "FIFO": (OSError, "'{}' is a FIFO; a regular file is needed"),
    "socket": (OSError, "'{}' is a socket; a regular file is needed"),
    "dangling link": (FileNotFoundError, "'{}' is a link to 'elsewhere', which is not there"),
    "looping link": (OSError, "'{}' cannot be opened: "),
    "link to a device": (OSError, "'{}' is a device; a regular file is needed"),
    "link to a FIFO": (OSError, "'{}' is a FIFO; a regular file is needed"),
    "link to a folder": (OSError, "'{}' is a folder; a regular file is needed"),
}


@pytest.mark.parametrize("what", NO_FILE)
@pytest.mark.parametrize("read", [require_file, read_json])
def test_what_is_no_file(place, make, read, what):
    path = place(what)
    kind, sentence = NO_FILE[what]
    with make.deadline(), pytest.raises(kind) as caught:
        read(path)
    assert sentence.format(path) in str(caught.value)


@pytest.mark.parametrize("what", ["file", "link to a file"])
def test_what_is_a_file(place, what):
    path = place(what)
    assert require_file(path) == path
    assert read_json(path) == {}


NO_FOLDER = {
    "nothing": (FileNotFoundError, "there is no folder '{}'"),
    "file": (NotADirectoryError, "'{}' is a file; a checkpoint is a folder"),
    "FIFO": (NotADirectoryError, "'{}' is a FIFO; a checkpoint is a folder"),
    "dangling link": (FileNotFoundError, "'{}' is a link to 'elsewhere', which is not there"),
    "looping link": (OSError, "'{}' cannot be opened: "),
}


@pytest.mark.parametrize("what", NO_FOLDER)
def test_what_is_no_folder(place, make, what):
    path = place(what)
    kind, sentence = NO_FOLDER[what]
    with make.deadline(), pytest.raises(kind) as caught:
        require_folder(path)
    assert sentence.format(path) in str(caught.value)


@pytest.mark.parametrize("what", ["folder", "link to a folder"])
def test_what_is_a_folder(place, what):
    path = place(what)
    assert require_folder(path) == require_folder(str(path)) == path


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "file/below"])
def test_a_name_that_no_file_can_have(tmp_path, name):
    (tmp_path / "file").touch()
    for require in (require_file, require_folder):
        with pytest.raises(OSError, match=r"cannot be opened|there is no f"):
            require(tmp_path / name)


@pytest.mark.parametrize("folder", [None, 5, ["here"]])
def test_a_folder_that_is_no_path(folder):
    with pytest.raises(TypeError):
        require_folder(folder)


def nested(depth):
    return b'{"a": ' * depth + b"1" + b"}" * depth


WRONG_JSON = {
    "empty": (b"", "is not JSON: it looks like an empty file"),
    "a git-lfs pointer": (b"version https://git-lfs.github.com/spec/v1", "a git-lfs pointer"),
    "HTML": (b" <html>", "is not JSON: it looks like an HTML page"),
    "cut short": (b'{"a": ', "is not JSON: Expecting value"),
    "bad UTF-8": (b'{"a": "\xff"}', "is not JSON: the text is not UTF-8: see line 1"),
    "a number of 5000 digits": (
        b'{"a": ' + b"7" * 5000 + b"}",
        "a number has thousands of digits$",
    ),
    "a list": (b"[]", "holds an array, not an object"),
    "a text": (b'"a"', "holds a string, not an object"),
    "a number": (b"1.5", "holds a number, not an object"),
    "a truth": (b"true", "holds true or false, not an object"),
    "null": (b"null", "holds null, not an object"),
    "65 deep": (nested(65), "is nested more than 64 deep"),
    "half a million deep": (nested(500_000), "is nested more than 64 deep"),
}


@pytest.mark.parametrize("wrong", WRONG_JSON.values(), ids=WRONG_JSON)
def test_what_is_no_json(tmp_path, wrong):
    content, sentence = wrong
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"config.json' .*{sentence}"):
        read_json(path)


def test_json_larger_than_any_of_a_model(tmp_path):
    path = tmp_path / "config.json"
    with path.open("wb") as file:
        file.truncate(MAX_JSON_BYTES + 1)  # sparse: it takes no room
    with pytest.raises(ValueError, match=r"config.json' has 4194305 bytes; allowed: 4194304"):
        read_json(path)


@pytest.mark.parametrize("content", [b'{"a": "\xc3\xa9"}', b'\xef\xbb\xbf{"a": "\\u00e9"}'])
def test_json_with_and_without_a_mark_of_its_encoding(tmp_path, content):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    assert read_json(path) == {"a": "é"}


def test_json_as_deep_as_allowed(tmp_path):
    path = tmp_path / "config.json"
    path.write_bytes(nested(63))
    assert read_json(path) == json.loads(nested(63))


@pytest.mark.parametrize("head", [b"text", b"PK", b"\x80", b"\x80\1", b"{}", b"\0" * 600])
def test_bytes_that_tell_nothing(tmp_path, head):
    path = tmp_path / "file"
    path.write_bytes(head)
    assert describe(path) is None


def test_the_hash_goes_over_all_the_files(tmp_path):
    paths = [tmp_path / "a", tmp_path / "b"]
    for path in paths:
        path.write_bytes(b"abc")
    # printf abcabc | sha256sum
    assert sha256(paths) == "bbb59da3af939f7af5f360f2ceb80a496e3bae1cd87dde426db0ae40677e1c2c"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain été 東", "plain été 東"),
        ("\x1b]0;title\x07", r"\x1b]0;title\x07"),
        ("a\u202eb\nc", r"a\u202eb\nc"),
        (7, "7"),
    ],
)
def test_what_does_not_print_is_written_out(text, shown):
    assert visible(text) == shown


def test_a_long_text_is_cut(make):
    assert visible("abcdef", 6) == "abcdef"
    assert visible("abcdefg", 6) == "abcdef..."
    assert visible("\U000e0001" * 3, 20) == (r"\U000e0001" * 3)[:20] + "..."
    with make.deadline(5):
        assert visible("\x1b" * 10**8, 12) == r"\x1b" * 3 + "..."


# --- writing


@pytest.mark.parametrize("write", [write_whole, replace_file])
def test_a_file_is_written_whole(tmp_path, write):
    path = tmp_path / "config.json"
    for content in (b"first", b"second"):
        write(path, content)
        assert path.read_bytes() == content
    assert os.listdir(tmp_path) == ["config.json"]  # noqa: PTH208
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="permissions are others there")
@pytest.mark.parametrize("mode", [0o600, 0o666, 0o400])
def test_the_permissions_of_a_file_are_kept(tmp_path, mode):
    path = tmp_path / "config.json"
    path.touch()
    path.chmod(mode)
    write_whole(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_new_file_is_never_more_open_than_the_one_it_replaces(tmp_path, monkeypatch):
    path, seen = tmp_path / "secret", []
    path.touch()
    path.chmod(0o600)
    opened = os.open
    monkeypatch.setattr(os, "open", lambda *a: seen.extend(a[2:]) or opened(*a))
    write_whole(path, b"new")
    assert seen == [0o600]


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "config.json"
    path.write_bytes(b"old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    sentence = r"config.json' cannot be saved: the disk is full.*What was there is unchanged\Z"
    with pytest.raises(OSError, match=sentence):
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["config.json"]


def test_an_output_goes_where_a_link_leads(tmp_path):
    for name in ("old", "new"):
        (tmp_path / f"to {name}").symlink_to(name)
    (tmp_path / "old").write_bytes(b"old")
    for name in ("old", "new"):
        write_whole(tmp_path / f"to {name}", b"content")
        assert (tmp_path / f"to {name}").is_symlink()
        assert (tmp_path / name).read_bytes() == b"content"


@pytest.mark.parametrize("leads_to", ["blob", "nowhere"])
def test_a_file_of_a_checkpoint_is_not_put_in_place_of_a_link(tmp_path, leads_to):
    (tmp_path / "blob").write_bytes(b"shared")
    (tmp_path / "config.json").symlink_to(leads_to)
    with pytest.raises(OSError, match=rf"is a link to '{leads_to}'; save into another folder"):
        replace_file(tmp_path / "config.json", b"content")
    assert (tmp_path / "config.json").is_symlink()
    assert (tmp_path / "blob").read_bytes() == b"shared"
    assert len([*tmp_path.iterdir()]) == 2


@pytest.mark.parametrize("what", ["FIFO", "link to a FIFO"])
def test_an_output_is_written_into_a_fifo(place, make, what):
    path, read = place(what), []
    thread = threading.Thread(target=lambda: read.append(path.read_bytes()), daemon=True)
    with make.deadline():
        thread.start()
        write_whole(path, b"content")
        thread.join()
    assert read == [b"content"]
    assert path.is_fifo()


def test_an_output_is_written_into_a_device(tmp_path):
    (tmp_path / "null").symlink_to(os.devnull)
    write_whole(tmp_path / "null", b"content")
    assert (tmp_path / "null").is_char_device()


def test_an_output_is_written_to_a_terminal():
    ours, theirs = os.openpty()
    write_whole(Path(os.ttyname(theirs)), b"content")
    assert os.read(ours, 100) == b"content"
    os.close(ours), os.close(theirs)


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("folder", "thing' is a folder; give the name of a file to write"),
        ("socket", "thing' is a socket; give the name of a file"),
        ("looping link", "thing' cannot be saved: Too many levels of symbolic links.* was written"),
    ],
)
def test_where_no_output_can_go(place, what, sentence):
    path = place(what)
    before = path.lstat()
    with pytest.raises(OSError, match=sentence):
        write_whole(path, b"content")
    assert os.path.samestat(path.lstat(), before)
