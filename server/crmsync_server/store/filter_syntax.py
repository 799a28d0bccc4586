"""Reading a filter: from text to a tree, or to what is wrong with it and where."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, cast

from lark import Lark, Token, Tree
from lark.exceptions import UnexpectedInput
from lark.parsers.lalr_interactive_parser import InteractiveParser

from crmsync_server.errors import InvalidFilterError

_MOST_CHARACTERS = 2000
_MOST_COMPARISONS = 100
_MOST_PARENTHESES = 20
_END = "$END"

# What may stand at a place, in the order in which it is told.
_WORDS = {
    "FIELD": "a field",
    "OPERATOR": "one of = != < <= > >= :",
    "WORD": "a value",
    "STRING": "a value",
    "_NOT": "NOT",
    "_OPEN": "(",
    "_AND": "AND",
    "_OR": "OR",
    "_CLOSE": ")",
    _END: "the end",
}


@dataclass(frozen=True, slots=True)
class Text:
    """A filter as its caller wrote it.

    path: where it stands in the request, such as `filter.filter`.
    """

    text: str
    path: str

    def parse(self) -> Tree[Token]:
        """Return the tree of the filter, no deeper than the limits allow.

        Its nodes are `conjunction`, `disjunction`, `negation` and `comparison`; a comparison's
        tokens are field, operator and value.

        Raises:
            InvalidFilterError: it does not parse, or goes beyond a limit.
        """
        if (nul := self.text.find("\0")) >= 0:
            raise self.wrong(nul, "a character other than NUL")
        if len(self.text) > _MOST_CHARACTERS:
            raise self.wrong(_MOST_CHARACTERS, f"the end, after {_MOST_CHARACTERS} characters")
        parser = _grammar().parse_interactive(self.text)
        try:
            tokens = parser.lexer_thread.lex(parser.parser_state)  # type: ignore[no-untyped-call]  # lark types half of itself
            for token in self._within_limits(tokens):
                self._feed(parser, token)
        except UnexpectedInput as error:
            at = cast("int", error.pos_in_stream)  # lark's own class says None
            raise self._unexpected(at, parser) from None
        tree: Tree[Token] = self._feed(parser, Token(_END, "", start_pos=len(self.text)))
        return tree

    def wrong(self, place: int, expected: str) -> InvalidFilterError:
        """Return the error that says what was expected at a place, counted from 0."""
        return InvalidFilterError(self.path, place + 1, expected)

    def _feed(self, parser: InteractiveParser, token: Token) -> Any:  # noqa: ANN401 - as lark has it
        # A token that is refused has already moved the parser to where only others are.
        before = parser.copy(deepcopy_values=False)  # type: ignore[no-untyped-call]  # the same
        try:
            return parser.feed_token(token)
        except UnexpectedInput:
            raise self._unexpected(place(token), before) from None

    def _within_limits(self, tokens: Iterator[Token]) -> Iterator[Token]:
        # Before anything is built: what is built is walked by recursion.
        depth = comparisons = 0
        for token in tokens:
            depth += (token.type == "_OPEN") - (token.type == "_CLOSE")
            comparisons += token.type == "FIELD"
            if depth > _MOST_PARENTHESES:
                limit = f"at most {_MOST_PARENTHESES} parentheses within each other"
                raise self.wrong(place(token), limit)
            if comparisons > _MOST_COMPARISONS:
                raise self.wrong(place(token), f"at most {_MOST_COMPARISONS} comparisons")
            yield token

    def _unexpected(self, at: int, parser: InteractiveParser) -> InvalidFilterError:
        accepted = parser.accepts()  # type: ignore[no-untyped-call]  # the same
        opened = self.text[at : at + 1]
        if "STRING" in accepted and opened in {'"', "'"}:
            return self.wrong(len(self.text), f"a closing {opened}")
        *others, last = dict.fromkeys(word for name, word in _WORDS.items() if name in accepted)
        return self.wrong(at, f"{', '.join(others)} or {last}" if others else last)


def place(token: Token) -> int:
    """Return where a token begins, counted from 0."""
    return token.start_pos or 0


@cache
def _grammar() -> Lark:
    path = resources.files("crmsync_server.store") / "filter.lark"
    return Lark(path.read_text(encoding="utf-8"), parser="lalr")
