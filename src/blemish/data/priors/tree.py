"""YAML with line numbers: mappings, lists and texts whose errors name file and line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from blemish.errors import ConfigError

_BOOL, _NULL = "tag:yaml.org,2002:bool", "tag:yaml.org,2002:null"
_TRUE = frozenset({"yes", "true", "on"})


@dataclass(frozen=True)
class Branch:
    """One value of a YAML file.

    Attributes:
        file: where it stands.
        node: what PyYAML read there.
        name: what it is the value of, for messages; empty for the whole file.
    """

    file: Path
    node: yaml.Node
    name: str = ""

    @property
    def empty(self) -> bool:
        """Whether nothing was written here."""
        return isinstance(self.node, yaml.ScalarNode) and self.node.tag == _NULL

    def error(self, found: str, remedy: str) -> ConfigError:
        """An error about this value that names its file and line."""
        return ConfigError(f"{self.file}, line {self.node.start_mark.line + 1}: {found}.", remedy)

    def items(self, what: str) -> Iterator[tuple[str, Branch]]:
        """Keys and values of a mapping, in order.

        Args:
            what: of what the keys are names, for messages.
        """
        if not isinstance(self.node, yaml.MappingNode):
            raise self.error(
                f"{self._subject} is {self._kind}, not {what} with what is known of them",
                "Write 'name: value' lines, as the file of 'blemish init-defects' does.",
            )
        lines: dict[str, int] = {}
        for key, value in self.node.value:
            here = Branch(self.file, key)
            if not isinstance(key, yaml.ScalarNode) or key.tag == _NULL or not key.value.strip():
                raise here.error(f"the name of one of the {what} is {here._kind}", "Write a name.")
            name = key.value.strip()
            if name == "<<":
                raise here.error("'<<' merges are not understood", "Repeat the lines, or use the product '*'.")
            if name in lines:
                raise here.error(f"'{name}' stands in line {lines[name]} already", "Keep one of them.")
            lines[name] = key.start_mark.line + 1
            yield name, Branch(self.file, value, name)

    def texts(self) -> tuple[str, ...]:
        """One text, or a list of them; nothing where nothing was written."""
        if self.empty:
            return ()
        return tuple(one.text() for one in self._entries())

    def text(self) -> str:
        """One text that is not blank; numbers and words such as `no` count as written."""
        if not isinstance(self.node, yaml.ScalarNode) or self.empty:
            raise self.error(f"{self._subject} is {self._kind}, not a text", "Write a text, in quotes if need be.")
        text = str(self.node.value).strip()
        if not text:
            raise self.error(f"{self._subject} is blank", "Write a text, or leave it out.")
        return text

    def truth(self) -> bool:
        """True or false."""
        if not isinstance(self.node, yaml.ScalarNode) or self.node.tag != _BOOL:
            raise self.error(f"{self._subject} is {self._kind}, not true or false", "Write true or false.")
        return self.node.value.lower() in _TRUE

    def one_of(self, known: Iterable[str], what: str) -> tuple[str, ...]:
        """Texts that must be known names."""
        names = tuple(known)
        for one in () if self.empty else self._entries():
            if (text := one.text()) not in names:
                raise one.error(f"{what} '{text}' is not known", suggestion(text, names))
        return self.texts()

    def _entries(self) -> tuple[Branch, ...]:
        """The entries of a list, or the value itself."""
        if isinstance(self.node, yaml.SequenceNode):
            return tuple(Branch(self.file, one, self.name) for one in self.node.value)
        return (self,)

    @property
    def _subject(self) -> str:
        return f"'{self.name}'" if self.name else "the file"

    @property
    def _kind(self) -> str:
        if isinstance(self.node, yaml.MappingNode):
            return "a mapping"
        if isinstance(self.node, yaml.SequenceNode):
            return "a list"
        return "nothing" if self.empty else f"'{str(self.node.value)[:40]}'"


def read_tree(file: Path) -> Branch | None:
    """The one document of a YAML file in UTF-8; None where it is empty.

    Raises:
        ConfigError: the file cannot be read or is no YAML; names file and line.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is not UTF-8 text (byte {error.start}).", "Save it as UTF-8.") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror or error}.", "Check the path.") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f", line {mark.line + 1}" if mark else ""
        reason = error.problem or error.context or "it cannot be understood"
        raise ConfigError(f"{file}{line} is not YAML: {reason}.", "Check indentation, colons and quotes.") from error
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"{file} is not YAML: {reason}.", "Check indentation, colons and quotes.") from error
    return None if node is None else Branch(file, node)


def suggestion(text: str, names: tuple[str, ...]) -> str:
    """The remedy for a name that is not known."""
    close = difflib.get_close_matches(text, names, n=1)
    return (f"Did you mean '{close[0]}'? " if close else "") + f"Known: {', '.join(names)}."
