"""The texts of one instance: its name and number put where the file asks for them.

What has been filled in tells afterwards whether any of it differs between instances: where none
does, a worker's thousand instances share what was made for the first.
"""

from supervisord_lite.config.commands import words_of
from supervisord_lite.config.interpolation import fill, varies
from supervisord_lite.config.paths import PathTemplate
from supervisord_lite.config.place import Place


class Filling:
    """Fills in texts for instance `number` of the worker `name`; `varied` once one mentions it."""

    def __init__(self, name: str, number: int) -> None:
        self.varied = False
        self._name = name
        self._number = number

    def text(self, text: str, place: Place) -> str:
        """The text with `{name}` and `{instance}` replaced."""
        self.varied = self.varied or varies(text)
        try:
            return fill(text, self._name, self._number, {})
        except ValueError as error:
            place.refuse(str(error))
            return ""

    def path(self, text: str, place: Place) -> str:
        """The same for a path, absolute."""
        self.varied = self.varied or varies(text)
        return PathTemplate.at(place, text).path(self._name, self._number)

    def words(
        self, command: str | tuple[str, ...], place: Place, *, shell: bool
    ) -> tuple[str, ...]:
        """The same for a command, as the list of its words."""
        return tuple(self.text(word, place) for word in words_of(command, place, shell=shell))
