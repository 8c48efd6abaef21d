"""A conversation, told whole."""

from qchat.model.conversation import LEAD, Said, as_prompt, last_of_user


def test_one_message() -> None:
    """The only message is the prompt as it is, also beside empty ones."""
    messages = [Said(role="system", text=" "), Said(role="user", text="a\n  b ")]
    assert as_prompt(messages) == "a\n  b "


def test_several() -> None:
    """Every message has a heading with its role, and its name where it has one."""
    messages = [
        Said(role="system", text="Be brief."),
        Said(role="user", text="Hi", name="ann"),
        Said(role="assistant", text="Hello.\n"),
        Said(role="user", text="Bye"),
    ]
    assert as_prompt(messages) == (
        f"{LEAD}\n\n[system]\nBe brief.\n\n[user ann]\nHi\n\n[assistant]\nHello.\n\n[user]\nBye"
    )
    assert last_of_user(messages) == "Bye"
    assert last_of_user(messages[:1]) is None
