"""The order in which JavaScript's `localeCompare` puts texts (ICU's root collation), as keys to sort by.

Exact for texts of characters below U+0180: ASCII, Latin-1 and Latin Extended-A, letters with accents included; held
against ICU 78 with random texts. Anything else comes after these, by code point: right for a script of its own against
Latin, and only a fair order within it. Ids of rules and names of dimensions are ASCII wherever we have seen them.

Texts are compared three times over: by their letters alone, then by accents, then by case (lower first). Each character
stands for elements (letter, accent, case); a zero means nothing to compare at that level.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final

# Every character that has a place of its own, in order. A `·` after an l is an accent, see below.
_LETTERS: Final = (
    "\t\n\v\f\r\x85 _-,;:!¡?¿.·'\"«»()[]{}§¶@*/\\&#%`´^¯¨¸°©®+±÷×<=>¬|¦~⁄¤¢$£¥"  # noqa: RUF001
    "0123456789abcdefghiıjklmnŋopqĸrstŧuvwxyzþʼμ"  # noqa: RUF001
)
_PLACE: Final = {letter: place for place, letter in enumerate(_LETTERS, 1)}

# Accents in order; those of the last line belong to letters that are no plain letter with a mark.
_ACCENTS: Final = (
    *("acute", "grave", "breve", "circumflex", "caron", "ring", "diaeresis", "double acute", "tilde", "dot above"),
    *("stroke", "cedilla", "ogonek", "macron", "bar"),
    *("variant",),
)
_ACCENT: Final = {name: place for place, name in enumerate(_ACCENTS, 1)}

# Lower and upper case beside their letters, a pair for each.
_ACCENTED: Final = {
    "acute": "aáÁ cćĆ eéÉ iíÍ lĺĹ nńŃ oóÓ rŕŔ sśŚ uúÚ yýÝ zźŹ",
    "grave": "aàÀ eèÈ iìÌ oòÒ uùÙ",
    "breve": "aăĂ eĕĔ gğĞ iĭĬ oŏŎ uŭŬ",
    "circumflex": "aâÂ cĉĈ eêÊ gĝĜ hĥĤ iîÎ jĵĴ oôÔ sŝŜ uûÛ wŵŴ yŷŶ",
    "caron": "cčČ dďĎ eěĚ lľĽ nňŇ rřŘ sšŠ tťŤ zžŽ",
    "ring": "aåÅ uůŮ",
    "diaeresis": "aäÄ eëË iïÏ oöÖ uüÜ yÿŸ",
    "double acute": "oőŐ uűŰ",
    "tilde": "aãÃ iĩĨ nñÑ oõÕ uũŨ",
    "dot above": "cċĊ eėĖ gġĠ zżŻ",
    "stroke": "oøØ",
    "cedilla": "cçÇ gģĢ kķĶ lļĻ nņŅ rŗŖ sşŞ tţŢ",
    "ogonek": "aąĄ eęĘ iįĮ uųŲ",
    "macron": "aāĀ eēĒ iīĪ oōŌ uūŪ",
    "bar": "dđĐ hħĦ lłŁ",
    "variant": "dðÐ lŀĿ",
}

# Case, in order: what looks like others (a ligature, a superscript) comes beside them.
_LOWER, _LIKE, _UPPER, _UPPER_LIKE, _RAISED, _NO_BREAK, _FRACTION = range(1, 8)

# Written as other characters, all of the same case.
_LIKE_OTHERS: Final = {
    **{"ĳ": ("ij", _LIKE), "Ĳ": ("ij", _UPPER_LIKE), "ŉ": ("ʼn", _LIKE), "µ": ("μ", _LIKE)},  # noqa: RUF001
    **{"\xa0": (" ", _NO_BREAK), "ª": ("a", _RAISED), "º": ("o", _RAISED)},
    **{"¹": ("1", _RAISED), "²": ("2", _RAISED), "³": ("3", _RAISED)},
    **{"½": ("1⁄2", _FRACTION), "¼": ("1⁄4", _FRACTION), "¾": ("3⁄4", _FRACTION)},  # noqa: RUF001
}
# Two letters that are one, told apart from the two by an accent between them.
_JOINED: Final = {"æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ß": "ss"}

Element = tuple[int, int, int]
Key = tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]


def collation_key(text: str) -> Key:
    """What to sort a text by; texts that `localeCompare` calls equal have the same."""
    elements = list(_elements(text))
    letters, accents, cases = (tuple(each[level] for each in elements if each[level]) for level in range(3))
    return letters, accents, cases


def _elements(text: str) -> Iterator[Element]:
    before = ""
    for letter in text:
        if letter == "·" and before in ("l", "L"):
            yield _accent("variant")
        else:
            yield from _table().get(letter) or _outside(letter)
        before = letter


def _outside(letter: str) -> tuple[Element, ...]:
    # Control characters count for nothing at all.
    return () if letter < "\xae" else ((len(_LETTERS) + ord(letter), 1, _LOWER),)


def _accent(name: str) -> Element:
    return (0, 1 + _ACCENT[name], _LOWER)


def _letter(letter: str, case: int) -> Element:
    return (_PLACE[letter], 1, case)


@cache
def _table() -> dict[str, tuple[Element, ...]]:
    """The elements of every character that is known."""
    table: dict[str, tuple[Element, ...]] = {letter: (_letter(letter, _LOWER),) for letter in _LETTERS}
    for lower in "abcdefghijklmnopqrstuvwxyzŋŧþ":
        table[lower.upper()] = (_letter(lower, _UPPER),)
    for accent, groups in _ACCENTED.items():
        for group in groups.split():
            base, lower, upper = tuple(group)
            table[lower] = (*table[base], _accent(accent))
            table[upper] = (*table[base.upper()], _accent(accent))
    # These two have no other case below U+0180, or not the one that `upper` thinks.
    table["ſ"] = (*table["s"], _accent("variant"))  # noqa: RUF001
    table["İ"] = (*table["I"], _accent("dot above"))
    for letter, (others, case) in _LIKE_OTHERS.items():
        table[letter] = tuple(_letter(other, case) for other in others)
    for letter, pair in _JOINED.items():
        table[letter] = (*table[pair[0]], _accent("variant"), *table[pair[1]])
    return table
