"""Chats become the text that the model's own template makes of them, and templates cannot do more than that."""

from __future__ import annotations

from pathlib import Path

import pytest

from webinfer.core.errors import InputError, InvalidModel
from webinfer.models.preprocessing.chat_template import is_chat, render, template_of

CHAT = [
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "?"},
]
TEMPLATE = """{{ bos_token }}
{%- for message in messages %}
    {%- if message['role'] == 'system' %}{{ raise_exception('No system messages.') }}{% endif %}
    {{- '<' + message.role + '>' + message['content'] | trim + eos_token }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<assistant>' }}{% endif %}"""
SETTINGS = {"bos_token": {"content": "<s>"}, "eos_token": "</s>"}


def test_chat_is_written_down_up_to_the_models_turn() -> None:
    written = render(TEMPLATE, CHAT, SETTINGS)
    assert written == "<s><user>Hello.</s><assistant>Hi.</s><user>?</s><assistant>"


def test_what_the_template_refuses_is_an_input_error() -> None:
    with pytest.raises(InputError, match="No system messages"):
        render(TEMPLATE, [{"role": "system", "content": "Be brief."}], {})


@pytest.mark.parametrize("template", ["{% for %}", "{{ messages.append(1) }}", "{{ ''.__class__.__mro__ }}"])
def test_broken_template_and_one_that_reaches_out_are_refused(template: str) -> None:
    with pytest.raises(InvalidModel, match="chat template is broken"):
        render(template, CHAT, {})


def test_template_is_found_in_its_file_or_the_configuration(tmp_path: Path) -> None:
    assert template_of(tmp_path, {}) is None
    assert template_of(tmp_path, {"chat_template": "a"}) == "a"
    several = [{"name": "tools", "template": "b"}, {"name": "default", "template": "c"}]
    assert template_of(tmp_path, {"chat_template": several}) == "c"
    (tmp_path / "chat_template.jinja").write_text("d")
    assert template_of(tmp_path, {"chat_template": "a"}) == "d"


def test_chat_is_told_from_other_lists() -> None:
    assert is_chat(CHAT)
    assert not any(map(is_chat, ([], "text", ["text"], [{"role": "user"}], [{"text": "a"}], {"role": "a"})))
