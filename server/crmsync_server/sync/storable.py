"""What of a text Postgres can keep: a CRM may say anything, and adapters quote it."""


def storable(text: str) -> str:
    """Return the text without null characters and halves of surrogate pairs."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
