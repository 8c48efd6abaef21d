"""What is refused before an agent sees it, and what an agent must not take for a command."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qchat.model.prompt import check_prompt, compose, guard

UNSEEN = ["", " ", "\n\t ", "\u200b", "\u3000\u200b ", "\U000e0041", "\u2060\ufeff", "\x1c\x85"]


@pytest.mark.parametrize("before", UNSEEN)
@pytest.mark.parametrize("message", ["!echo hi", "/quit", "/tools trust-all", "//quit", "@alice hello"])
def test_a_message_is_no_command_whatever_it_begins_with(before: str, message: str) -> None:
    """A sign at the beginning gets a backslash, also when it stands behind what cannot be seen."""
    assert guard(before + message, False) == "\\" + before + message


@pytest.mark.parametrize("message", ["hello", "\\@alice", "a/b", " 1 ! 2", "é@", "<@U1>", "#1", "你好/"])
def test_other_messages_stay_as_they_are(message: str) -> None:
    """A message that no release takes for a command is not changed at all."""
    assert guard(message, False) == message


def test_commands_can_be_allowed() -> None:
    """Those who want the commands of the CLI get them."""
    assert guard("/quit", True) == "/quit"
    assert compose("/quit", chinese=True, commands_allowed=True) == "/quit"


def test_an_answer_in_chinese_is_asked_for_once() -> None:
    """The wish for Chinese comes first, and then nothing needs a backslash."""
    assert compose("hello", chinese=True, commands_allowed=False) == "请用中文回答：hello"
    assert compose("@alice", chinese=True, commands_allowed=False) == "请用中文回答：@alice"
    assert compose("@alice", chinese=False, commands_allowed=False) == "\\@alice"


@pytest.mark.parametrize("message", UNSEEN)
def test_a_message_of_which_nothing_is_left_is_refused(message: str) -> None:
    """What the CLI would find empty is refused before it is asked."""
    with pytest.raises(ValueError, match="at least one visible character"):
        check_prompt(message)


@pytest.mark.parametrize(
    ("message", "name"), [("a\0b", "U+0000"), ("a\ud800", "U+D800"), ("\udfff", "U+DFFF")]
)
def test_what_cannot_be_sent_is_refused(message: str, name: str) -> None:
    """A NUL or half a surrogate pair is refused, with its place and what is allowed."""
    with pytest.raises(ValueError, match="allowed is everything but") as caught:
        check_prompt(message)
    assert name in str(caught.value)


def test_a_long_message_is_no_problem() -> None:
    """A hundred thousand characters pass."""
    check_prompt("长" * 100_000)


@given(st.text())
def test_a_guarded_message_begins_with_no_sign(message: str) -> None:
    """After the CLI's own trimming and cleaning no message begins with a sign, and none is shortened."""
    guarded = guard(message, False)
    hidden = [(0xE0000, 0xE007F), (0x200B, 0x200F), (0x2028, 0x202F), (0x205F, 0x206F), (0xFFF0, 0xFFFC)]
    seen = "".join(c for c in guarded if not any(low <= ord(c) <= high for low, high in hidden)).strip()
    assert not seen.startswith(("!", "/", "@"))
    assert guarded.endswith(message)
