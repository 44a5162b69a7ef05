"""From a chat to one text, by the template that came with the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from webinfer.core.errors import InputError, InvalidModel

ChatMessage = Mapping[str, Any]
_FILE = "chat_template.jinja"
_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")


def is_chat(value: Any) -> bool:
    """Return whether a value is a list of messages: ``{"role": …, "content": …}`` each.

    Args:
        value: Anything.
    """
    return isinstance(value, Sequence) and bool(value) and all(map(_is_message, value))


def template_of(directory: Path, settings: Mapping[str, Any]) -> str | None:
    """Return a model's chat template, or ``None``.

    Args:
        directory: The tokenizer's directory. A file ``chat_template.jinja`` in it comes first.
        settings: Contents of its tokenizer_config.json.
    """
    if (directory / _FILE).is_file():
        return (directory / _FILE).read_text(encoding="utf-8")
    stated = settings.get("chat_template")
    if isinstance(stated, list):  # several, by name
        stated = next((entry.get("template") for entry in stated if entry.get("name") == "default"), None)
    return stated if isinstance(stated, str) else None


def render(template: str, messages: Sequence[ChatMessage], settings: Mapping[str, Any]) -> str:
    """Write a chat as the model was trained to read it, up to the beginning of the model's own message.

    A template is a program from strangers, so it runs in Jinja's sandbox.

    Args:
        template: The template.
        messages: The chat so far.
        settings: Contents of tokenizer_config.json, for the names of special tokens.

    Returns:
        The prompt, to be tokenized without further special tokens.

    Raises:
        InputError: The template refuses the chat, such as two messages of one role in a row.
        InvalidModel: The template is broken.
    """
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(why: str) -> NoReturn:
        raise InputError(f"The model's chat template refuses this chat: {why}")

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    environment.globals["raise_exception"] = refuse
    tokens = {name: _text(settings.get(name)) for name in _TOKENS}
    try:
        return environment.from_string(template).render(
            messages=[dict(message) for message in messages], add_generation_prompt=True, **tokens
        )
    except TemplateError as error:
        raise InvalidModel(f"The model's chat template is broken ({error}): pass a text instead of a chat.") from error


def _is_message(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("role"), str) and isinstance(value.get("content"), str)


def _text(token: Any) -> str:
    text = token.get("content") if isinstance(token, Mapping) else token
    return text if isinstance(text, str) else ""
