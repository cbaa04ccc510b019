"""An operator's own templates: which there are, whether they are right, what they make of sample data [jinja2].

They are checked before anything starts (configure), because a wrong one would else be found when its mail is written,
and the words that came with the program would go out in its place.
"""

from __future__ import annotations

import re
import tomllib
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import TemplateSyntaxError, nodes
from jinja2.meta import find_referenced_templates, find_undeclared_variables

from gateway.errors import TemporaryError
from gateway.model import OutboundMail, Plan
from gateway.outbound.compose import compose_all
from gateway.outbound.sample import NOW, Sample, sample_settings, samples
from gateway.outbound.words import TEMPLATE_FAILURES, WORDS_FILE, Words, default_folder, environment_for, watch_values
from gateway.settings import Settings

_PLACEHOLDER = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True, slots=True)
class TemplateFault:
    """One thing wrong with a template of the operator's; line 0: the file as a whole."""

    path: Path
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """One template in one language: the file that is used."""

    name: str
    language: str  # "": the operator's, for every language
    path: Path
    own: bool


def languages() -> tuple[str, ...]:
    """The languages that came with the program."""
    return tuple(sorted(path.name for path in default_folder().iterdir() if path.is_dir()))


def own_files(settings: Settings) -> tuple[TemplateSource, ...]:
    """The operator's templates, in ``templates/`` and ``templates/LANGUAGE/`` beside the configuration."""
    folder = settings.folder / "templates"
    if folder.resolve() == default_folder():  # the configuration of the checkout
        return ()
    found: list[TemplateSource] = []
    for language in ("", *languages()):
        place = folder / language if language else folder
        paths = sorted(place.iterdir()) if place.is_dir() else []
        found += [
            TemplateSource(p.name, language, p, True) for p in paths if p.suffix == ".txt" or p.name == WORDS_FILE
        ]
    return tuple(found)


def used_files(settings: Settings) -> tuple[TemplateSource, ...]:
    """Every template in the language that is set: the operator's where there is one."""
    words = Words(settings.folder, settings.ticketgate.language, "UTC")
    names = {path.name for folder in words.folders if folder.is_dir() for path in folder.iterdir() if path.is_file()}
    names = {name for name in names if name.endswith(".txt") or name == WORDS_FILE}
    return tuple(found for name in sorted(names) if (found := find_file(settings, name)) is not None)


def find_file(settings: Settings, name: str) -> TemplateSource | None:
    """The file a template's words come from; None when there is none."""
    words = Words(settings.folder, settings.ticketgate.language, "UTC")
    for folder in words.folders:
        if (folder / name).is_file():
            own = not folder.resolve().is_relative_to(default_folder())
            language = folder.name if folder.name in languages() else ""
            return TemplateSource(name, language, folder / name, own)
    return None


def compose_sample(settings: Settings, name: str, to: str = "alice") -> OutboundMail | None:
    """The mail that shows a template with sample data; None when no mail does. Raises TemporaryError when it cannot."""
    shown = sample_settings(settings)
    found = samples(shown, to if to in shown.agents else "alice").get(name.removesuffix(".txt"))
    return _compose(found, shown) if found is not None else None


def _compose(sample: Sample, settings: Settings) -> OutboundMail:
    plan = Plan(outcome="file", inbox=next(iter(settings.inbox)), notices=(sample.notice,))
    return compose_all(plan, sample.ticket, settings, NOW)[0]


# ------------------------------------------------------------------ the check


def check_templates(settings: Settings) -> tuple[TemplateFault, ...]:
    """Everything wrong with the operator's templates: syntax, unknown variables and names, what fails with a sample."""
    own = own_files(settings)
    if not own:
        return ()
    faults = [fault for source in own if source.name == WORDS_FILE for fault in _check_words(source)]
    if faults:
        return tuple(faults)  # without its phrases nothing can be rendered
    known = _known_values(settings)
    configured = _configured(settings)
    for source in own:
        if source.name != WORDS_FILE:
            faults += _check_one(source, settings, known, configured)
    if not faults:
        faults += _try_samples(settings, {source.name: source.path for source in own})
    return tuple(faults)


def _configured(settings: Settings) -> Mapping[str, str]:
    """Templates the configuration names -> the template whose values they get."""
    named: dict[str, str] = {}
    for inbox in settings.inbox.values():
        named[Path(inbox.signature).name] = "signature.txt"
        for path in (inbox.ack.template, inbox.ack.outside_hours_template):
            named[Path(path).name] = "ack.txt"
    named.pop("", None)
    return named


def _known_values(settings: Settings) -> Mapping[str, frozenset[str]]:
    """Template -> the values it may use: what the program gives when it writes the samples in its own words."""
    plain = replace(settings, folder=Path("/nonexistent"))
    known: dict[str, set[str]] = defaultdict(set)
    shown = sample_settings(plain)
    with watch_values() as seen:
        for sample in samples(shown).values():
            _compose(sample, shown)
    for template, values in seen:
        known[template] |= {*values, "w"}
    environment = environment_for((default_folder() / "en",))
    for template in list(known):
        source = (default_folder() / "en" / template).read_text("utf-8")
        for part in find_referenced_templates(environment.parse(source)):
            known[part or ""] |= known[template]
    known["signature.txt"] = {"inbox", "name", "w"}
    return {template: frozenset(values) for template, values in known.items()}


def _check_one(
    source: TemplateSource,
    settings: Settings,
    given: Mapping[str, frozenset[str]],
    configured: Mapping[str, str],
) -> Iterator[TemplateFault]:
    values = given.get(configured.get(source.name, source.name))
    if values is None and not (default_folder() / "en" / source.name).is_file():
        yield TemplateFault(source.path, 0, "is the name of no template, and the configuration names it nowhere")
        return
    words = Words(settings.folder, source.language or settings.ticketgate.language, "UTC")
    environment = environment_for(words.folders)
    try:
        text = source.path.read_text("utf-8")
        tree = environment.parse(text)
        environment.compile(text)
    except UnicodeDecodeError:
        yield TemplateFault(source.path, 0, "is not UTF-8")
        return
    except OSError as error:
        yield TemplateFault(source.path, 0, f"cannot be read: {error.strerror}")
        return
    except TemplateSyntaxError as error:
        yield TemplateFault(source.path, error.lineno, str(error.message or "cannot be understood"))
        return
    known = find_undeclared_variables(tree) if values is None else values
    for name in sorted(find_undeclared_variables(tree) - known):
        line = next((n.lineno for n in tree.find_all(nodes.Name) if n.name == name), 0)
        yield TemplateFault(
            source.path, line, f"there is no value {name!r} here; there are: {', '.join(sorted(known))}"
        )
    for part in find_referenced_templates(tree):
        if part is not None and not words.has(part):
            line = next((n.lineno for n in tree.find_all(nodes.Include)), 0)
            yield TemplateFault(source.path, line, f"includes {part!r}, which does not exist")


def _check_words(source: TemplateSource) -> Iterator[TemplateFault]:
    """Phrases: known keys, of the kind and with the values of the originals."""
    try:
        text = source.path.read_text("utf-8")
        phrases = tomllib.loads(text)
    except UnicodeDecodeError:
        yield TemplateFault(source.path, 0, "is not UTF-8")
        return
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line ([0-9]+)", str(error))
        yield TemplateFault(source.path, int(at[1]) if at else 0, str(error).partition(" (at")[0])
        return
    original = tomllib.loads((default_folder() / "en" / WORDS_FILE).read_text("utf-8"))
    for key, phrase in phrases.items():
        found = re.search(rf"^[ \t]*\"?{re.escape(key)}\"?\s*=", text, re.M)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        meant = original.get(key)
        if meant is None:
            yield TemplateFault(source.path, line, f"there is no phrase {key!r}")
        elif type(meant) is not type(phrase) or (isinstance(meant, list) and len(meant) != len(phrase)):
            kind = f"a list of {len(meant)} words" if isinstance(meant, list) else "one text"
            yield TemplateFault(source.path, line, f"{key!r} has to be {kind}")
        elif isinstance(phrase, str):
            yield from _check_phrase(source, line, key, phrase, str(meant))


def _check_phrase(source: TemplateSource, line: int, key: str, phrase: str, meant: str) -> Iterator[TemplateFault]:
    given = set(_PLACEHOLDER.findall(meant))
    try:
        phrase.format(**dict.fromkeys(given, ""))
    except (KeyError, IndexError, ValueError, AttributeError):
        there = ", ".join("{" + name + "}" for name in sorted(given)) or "none"
        yield TemplateFault(source.path, line, f"{key!r} uses a value that is not there; there are: {there}")


def _try_samples(settings: Settings, own: Mapping[str, Path]) -> Iterator[TemplateFault]:
    """What only shows when it is rendered."""
    shown = sample_settings(settings)
    told: set[tuple[Path, int]] = set()
    for language in languages():
        general = replace(shown.ticketgate, language=language)
        spoken = replace(shown, ticketgate=general)
        words = Words(settings.folder, language, "UTC")
        with watch_values() as seen:
            for sample in samples(spoken).values():
                try:
                    _compose(sample, spoken)
                except TemporaryError:
                    continue  # the program's own words fail, too: no fault of the operator's
        for template, values in dict(seen).items():
            try:
                environment_for(words.folders).get_template(template).render({**values, "w": words})
            except TEMPLATE_FAILURES as error:
                place = _place_of(error, own.get(template, Path(template)))
                if place not in told:
                    told.add(place)
                    yield TemplateFault(*place, f"fails with sample data: {error}")


def _place_of(error: BaseException, path: Path) -> tuple[Path, int]:
    """File and line inside the templates; jinja2 puts them into the traceback."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.endswith(".txt")]
    return (Path(frames[-1].filename), frames[-1].lineno or 0) if frames else (path, 0)
