"""Eight words of each language that hardly any text in it lacks. English is Gopher's list; the others are its like."""

from __future__ import annotations

from collections.abc import Mapping

STOP_WORDS: Mapping[str, frozenset[str]] = {
    language: frozenset(words.split())
    for language, words in {
        "bg": "и на да в се за от не",
        "ca": "de la que i el a en per",
        "cs": "a se na v je že s do",
        "da": "og i at det er en til på",
        "de": "der die und in den von zu das",
        "el": "και το να του η της με την",
        "en": "the be to of and that have with",
        "es": "de la que el en y a los",
        "et": "ja on ei et see oli ka mis",
        "fi": "ja on ei että se oli myös mutta",
        "fr": "de la le et les des en un",
        "hr": "i je u na se da za od",
        "hu": "a az és hogy nem is egy van",
        "id": "yang dan di dengan untuk dari ini itu",
        "it": "di e che la il un per in",
        "lt": "ir yra kad su į iš tai bet",
        "lv": "un ir no ar uz kas par bet",
        "nl": "de van het een en in is dat",
        "no": "og i det er på til som en",
        "pl": "i w na się z nie do że",
        "pt": "de a o que e do da em",
        "ro": "de și în la a cu pe că",
        "ru": "и в не на что с как по",
        "sk": "a sa na v je že s do",
        "sl": "in je v na se da za ki",
        "sr": "и је у на се да за од",
        "sv": "och i att det som en på är",
        "tr": "ve bir bu da de için ile çok",
        "uk": "і в не на що з як до",
        "vi": "và là của có không trong cho được",
    }.items()
}
