"""An operator's own templates: shown with sample data, and refused at start with file and line when they are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.cli import main
from gateway.configure import ConfigurationError, load
from gateway.outbound.sample import sample_settings, samples
from gateway.outbound.templates import check_templates, compose_sample
from gateway.outbound.words import default_folder
from gateway.settings import Settings
from tests.support.golden.checker import check, read, texts

SITE = """schema = 1
[inbox.support]
address = "support@desk.test"
name    = "Desk"
agents  = ["alice"]
signature = "templates/signature.txt"
"""
OWN = {
    "note.txt": "#{{ number }} note of {{ author_first }}\n\n{{ text }}\n{% include '_files.txt' %}\n",
    "signature.txt": "{{ name }}\n{{ inbox }}, Example Street 1\n",
    "de/words.toml": 'via = "{name} bei {inbox}"\n',
    "de/_files.txt": "{% for file in files %}Datei: {{ file }}\n{% endfor %}",
}
WRONG = {
    # file, its text, the line, what is said about it
    "unknown value": ("note.txt", "Hi\n\n{{ txet }}\n", 3, "there is no value 'txet' here; there are: author_first,"),
    "value of another": ("note.txt", "{{ their_text }}\n", 1, "there is no value 'their_text'"),
    "syntax": ("note.txt", "a\n{% if text %}\n", 2, "Unexpected end of template"),
    "filter": ("note.txt", "a\n{{ text|shout }}\n", 2, "No filter named 'shout'"),
    "include": ("note.txt", "{% include 'no.txt' %}", 1, "includes 'no.txt', which does not exist"),
    "fails when rendered": ("note.txt", "\n{{ text.nothing.more }}", 2, "fails with sample data"),
    "fails inside a part": ("_files.txt", "\n\n{{ 1 // 0 }}", 3, "fails with sample data"),
    "name": ("nowt.txt", "x", 0, "is the name of no template"),
    "bytes": ("note.txt", "\udcff", 0, "is not UTF-8"),
    "phrase": ("words.toml", '\nviia = "x"\n', 2, "there is no phrase 'viia'"),
    "phrase with a value": ("de/words.toml", 'via = "{nmae}"', 1, "'via' uses a value that is not there"),
    "phrase of another kind": ("words.toml", 'weekdays = ["Mo"]', 1, "'weekdays' has to be a list of 7 words"),
    "toml": ("words.toml", 'a = "x"\nvia = \n', 2, "Invalid value"),
}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    (tmp_path / "ticketgate.toml").write_text(SITE)
    (tmp_path / "agents.toml").write_text('[alice]\nname = "Alice"\naddress = "alice@desk.test"\n')
    (tmp_path / "templates" / "de").mkdir(parents=True)
    write(tmp_path, "signature.txt", OWN["signature.txt"])
    return tmp_path / "ticketgate.toml"


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / "templates" / name
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    return path


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_template_is_refused_at_start_with_file_and_line(site: Path, case: str) -> None:
    name, text, line, said = WRONG[case]
    path = write(site.parent, name, text)
    with pytest.raises(ConfigurationError) as refused:
        load(site, secrets=False)
    assert str(refused.value).startswith(f"{path}:{line}: " if line else f"{path}: ")
    assert said in str(refused.value)


def test_right_templates_are_taken(site: Path) -> None:
    for name, text in OWN.items():
        write(site.parent, name, text)
    settings = load(site, secrets=False)
    note, signature = compose_sample(settings, "note"), compose_sample(settings, "signature")
    assert note is not None and signature is not None
    assert "note of Bob" in texts(read(note.content))[0]
    assert "Alice\r\nDesk, Example Street 1" in texts(read(signature.content))[0]


def test_every_template_that_came_with_the_program_is_right_and_has_a_sample(tmp_path: Path) -> None:
    settings = sample_settings(Settings(folder=tmp_path))
    names = {path.stem for path in (default_folder() / "en").glob("[!_]*.txt")}
    assert names <= set(samples(settings)), "templates without a sample"
    for name in names:
        for language in ("en", "de"):
            folder = tmp_path / "templates" / language
            folder.mkdir(parents=True, exist_ok=True)
            (folder / f"{name}.txt").write_bytes((default_folder() / language / f"{name}.txt").read_bytes())
    assert check_templates(settings) == ()


@pytest.mark.parametrize("name", sorted(samples(sample_settings(Settings()))))
def test_a_sample_keeps_the_rules_and_its_tokens_open_nothing(name: str) -> None:
    settings = sample_settings(Settings())
    mail = compose_sample(settings, name)
    assert mail is not None
    check(mail, settings, samples(settings)[name].ticket)


def test_the_operator_sees_lists_texts_and_samples(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(site.parent, "note.txt", OWN["note.txt"])
    config = ["-c", str(site)]
    assert main(["templates", *config]) == 0
    listed = capsys.readouterr().out
    assert "templates/note.txt" in listed and "held-collision" in listed
    assert main(["templates", "show", "note", *config]) == 0
    assert capsys.readouterr().out == OWN["note.txt"]
    assert main(["templates", "test", "note", *config]) == 0
    assert "They are on the old price list" in capsys.readouterr().out
    assert main(["templates", "test", "offer", "--html", *config]) == 0
    assert "<html lang" in capsys.readouterr().out
    assert main(["templates", "test", "nowt", *config]) == 67
    assert main(["templates", "test", "_files", *config]) == 64
    assert main(["templates", "test", "note", "--send", "zoe", *config]) == 64
    write(site.parent, "note.txt", "{{ txet }}")
    assert main(["templates", *config]) == 78
    assert "note.txt:1: there is no value 'txet'" in capsys.readouterr().err
