"""The table of outcomes, on what the real CLI wrote and on what its relatives may write."""

import json
from pathlib import Path

import pytest

from qchat.model.event import Text, Tool
from qchat.model.outcome import Outcome, decide
from qchat.model.parser import make_parser
from qchat.model.report import MAX_BYTES, redact, report

RECORDINGS = Path(__file__).parent.parent / "data" / "recordings"
TROUBLE = "\x1b[1m\x1b[38;5;9mAmazon Q is having trouble responding right now: \n   0: {}\n\x1b[0m"
EXPECTED = {
    "failure_bad_model": ("QCLI_PROCESSING_ERROR", "error: Model 'nope' does not exist."),
    "failure_bad_request": ("QCLI_PROCESSING_ERROR", "Amazon Q is having trouble responding right now:\n"),
    "failure_service": ("QCLI_PROCESSING_ERROR", "Amazon Q is having trouble responding right now:\n"),
    "failure_throttled": ("QCLI_THROTTLED", "⚠️  Amazon Q rate limit reached:\n    Request quota exceeded."),
    "failure_not_logged_in": ("QCLI_AUTH_ERROR", "error: You are not logged in, please log in with q login"),
    "interrupted_in_tool": ("QCLI_PROCESSING_ERROR", "error: Tool approval required"),
    "tool_not_trusted": ("QCLI_PROCESSING_ERROR", "error: Tool approval required"),
    "prompt_at": ("QCLI_PROCESSING_ERROR", "Prompt alice not found."),
    "prompt_empty": ("QCLI_PROCESSING_ERROR", "error: Input must be supplied"),
    "prompt_slash_help": ("QCLI_PROCESSING_ERROR", "q (Amazon Q Chat)"),
    "prompt_slash_quit": ("QCLI_PROCESSING_ERROR", "the agent ended without an answer"),
}


def outcome_of(name: str) -> Outcome:
    facts = json.loads((RECORDINGS / f"{name}.json").read_text())
    events = make_parser("q", "markdown").feed((RECORDINGS / f"{name}.out").read_bytes())
    return decide(
        form="q",
        exit_code=facts["exit"],
        answered=any(isinstance(event, Text) for event in events),
        worked=any(isinstance(event, Tool) and event.state == "completed" for event in events),
        stderr=(RECORDINGS / f"{name}.err").read_text(),
    )


@pytest.mark.parametrize("name", sorted(path.stem for path in RECORDINGS.glob("*.json")))
def test_every_recording_has_its_outcome(name: str) -> None:
    """What the real CLI did is a failure exactly when it was one, and the detail begins with its words."""
    outcome = outcome_of(name)
    if name not in EXPECTED:
        assert outcome == Outcome("completed")
        return
    code, detail = EXPECTED[name]
    assert (outcome.reason, outcome.code) == ("failed", code)
    assert outcome.detail.startswith(detail)
    assert "\x1b" not in outcome.detail
    assert "All tools are now trusted" not in outcome.detail
    assert "RUST_BACKTRACE" not in outcome.detail


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Throttled: ThrottlingException", "QCLI_THROTTLED"),
        ("Too many requests have been sent recently", "QCLI_THROTTLED"),
        ("The model you've selected is temporarily unavailable.", "QCLI_THROTTLED"),
        ("service error: AccessDeniedException", "QCLI_AUTH_ERROR"),
        ("ExpiredTokenException: The security token included in the request is expired", "QCLI_AUTH_ERROR"),
        ("dispatch failure", "QCLI_PROCESSING_ERROR"),
    ],
)
def test_a_service_failure_is_told_by_its_causes(said: str, code: str) -> None:
    """A chain of causes tells a throttled service and a refused login from one that failed."""
    assert decide(form="q", exit_code=0, answered=False, stderr=TROUBLE.format(said)).code == code


def test_a_failure_in_the_midst_of_an_answer_is_a_failure() -> None:
    """Text that came before the service failed does not make the turn complete."""
    assert decide(form="q", exit_code=0, answered=True, stderr=TROUBLE.format("broken")).reason == "failed"


@pytest.mark.parametrize("draw", ["⠋ Thinking...\r\x1b[2K", "\x1b[?25l⠙ Thinking...\x1b[1G", "⠋ x\r"])
def test_what_a_spinner_leaves_behind_hides_no_failure(draw: str) -> None:
    """What the CLI draws over and over in one line is not the beginning of what it says next."""
    stderr = f"{draw}{draw}\x1b[38;5;9mAmazon Q rate limit reached:\n    wait 30 s\x1b[0m\n"
    outcome = decide(form="q", exit_code=0, answered=False, stderr=stderr)
    assert (outcome.code, outcome.detail) == (
        "QCLI_THROTTLED",
        "Amazon Q rate limit reached:\n    wait 30 s",
    )


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("error: Not logged in", "QCLI_AUTH_ERROR"),
        ("Error: please run `kiro-cli login`", "QCLI_AUTH_ERROR"),
        ("Unauthorized", "QCLI_AUTH_ERROR"),
        ("The model you've selected is temporarily unavailable. Use another.", "QCLI_THROTTLED"),
        ("Your unauthorizedness is noted", "QCLI_PROCESSING_ERROR"),
    ],
)
def test_other_words_for_the_same_are_known(said: str, code: str) -> None:
    """What a relative of the CLI may say instead means the same."""
    assert decide(form="q", exit_code=1, answered=False, stderr=said + "\n").code == code


def test_a_command_needs_no_answer() -> None:
    """A command of the CLI itself is done when it exits with 0, and what it said on stderr is kept."""
    done = decide(form="q", exit_code=0, answered=False, command=True, stderr="Usage: /x\n")
    assert done == Outcome("completed", detail="Usage: /x")
    assert decide(form="q", exit_code=1, answered=False, command=True, stderr="").reason == "failed"


def test_a_monthly_limit_says_when_it_resets() -> None:
    """The detail of a reached limit has the CLI's own words on when to come back."""
    stderr = "\x1b[38;5;11mMonthly request limit reached\x1b[0m - The limits reset on 12/01.\n\n"
    outcome = decide(form="q", exit_code=0, answered=False, stderr=stderr)
    assert outcome.code == "QCLI_THROTTLED"
    assert "12/01" in outcome.detail


@pytest.mark.parametrize(
    "stderr",
    [
        "error: the answer is cut: it has reached a limit\n",
        "Tool validation failed: \nNo tool with that name\n",
        "MCP server x: rate limit reached\n",
        "Unauthorized: /mcp/y\n",
        "WARNING: Retry #2, retrying within 10.0s..\n",
        " ● Execution failed after 8.653s:\nrate limit reached is what the endpoint said\n"[:40],
    ],
)
def test_remarks_beside_an_answer_are_no_failure(stderr: str) -> None:
    """An answer and exit code 0 are a success when stderr has nothing but remarks."""
    assert decide(form="q", exit_code=0, answered=True, stderr=stderr) == Outcome("completed")


def test_a_tool_that_did_all_there_was_to_do_is_an_answer() -> None:
    """A turn without text, in which a tool has completed, is complete."""
    assert decide(form="q", exit_code=0, answered=False, worked=True, stderr="").reason == "completed"


def test_any_program_is_judged_by_its_exit_code() -> None:
    """For programs of unknown kind only the exit code counts, and the detail is what they said."""
    assert decide(form="plain", exit_code=0, answered=False, stderr="error: none").reason == "completed"
    failed = decide(form="plain", exit_code=3, answered=True, stderr="no such file\n")
    assert failed == Outcome("failed", "QCLI_PROCESSING_ERROR", "the agent exited with code 3: no such file")


def test_an_end_by_a_signal_is_named() -> None:
    """The detail names the signal that ended the agent, and says so when nobody saw the end."""
    assert decide(form="q", exit_code=-9, answered=True, stderr="").detail == "the agent was ended by SIGKILL"
    unnamed = decide(form="q", exit_code=-99, answered=True, stderr="")
    assert unnamed.detail == "the agent was ended by signal 99"
    assert decide(form="q", exit_code=None, answered=True, stderr="").detail == "the agent's end was not seen"


def test_the_detail_is_bounded() -> None:
    """However much the agent said, the detail has 4 KiB of UTF-8 at most, with its beginning in it."""
    outcome = decide(form="q", exit_code=1, answered=False, stderr="error: 失败 " + "错" * 100_000)
    assert outcome.detail.startswith("error: 失败")
    assert len(outcome.detail.encode()) <= MAX_BYTES


@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("Authorization: Bearer abcdefghijkl123456", "abcdefghijkl123456"),
        ("x-amz-security-token=IQoJb3JpZ2luX2VjE", "IQoJb3JpZ2luX2VjE"),
        ("key AKIAIOSFODNN7EXAMPLE is invalid", "AKIAIOSFODNN7EXAMPLE"),
        ('{"refreshToken": "aorAAAAAGabcdefghijklmno"}', "aorAAAAAG"),
        ("secret wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "wJalrXUtnFEMI"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N", "eyJzdWIi"),
        ("token: aoaAAAAAGabcdefghijklmno:Qm9vdGg", "aoaAAAAAG"),
        ("client_secret = s3cr3t-value", "s3cr3t-value"),
        ("the token is expired: FwoGZXIvYXdzEJr//////////wEaDJ2b", "EJr///"),
        ("key " + "aB3/" * 3 + "Qm9vdGgQm9vdGgQm9vdGgQm9vdGg4Qm9vdGg/x+y/z", "Qm9vdGg"),
        ("Incorrect key sk-ant-api03-AbCdEf0123", "AbCdEf0123"),
        ("push with ghp_16C7e42F292c6912E77", "16C7e42F"),
        ("clone https://me:s3cret@host/x failed", "s3cret"),
        ('{"body": "{\\"accessToken\\": \\"abc123def456\\"}"}', "abc123def456"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIEvQIBADANBg\n-----END RSA PRIVATE KEY-----", "MIIEvQ"),
    ],
)
def test_a_detail_never_has_a_credential(said: str, secret: str) -> None:
    """Whatever looks like a token, a key or a password is taken out."""
    assert secret not in decide(form="q", exit_code=1, answered=False, stderr=f"error: {said}").detail


def test_paths_and_identifiers_are_no_credentials() -> None:
    """Paths, UUIDs and digests stay, because they are what one looks for in an error."""
    said = (
        "/srv/qchat/sessions/550e8400-e29b-41d4-a716-446655440000/Hello.py "
        "request_id: 9d61edca-b424-4c3e-8f0e-5eb2e9a3f1aa "
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    )
    assert redact(said) == said


def test_banners_are_no_report() -> None:
    """The banner, the greeting and the spinner of the real CLI leave nothing."""
    assert report((RECORDINGS / "plain.err").read_text()) == ""
    assert report("⠋ Thinking...\n\x1b[2K\x1b[1G╭────╮\n│ Did you know? │\n╰────╯\n") == ""
