"""OpenAI's API, called by OpenAI's own client and, for what that would not send, by hand."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI

from tests.client.flaky import flaky
from tests.conftest import StartService
from tests.harness import Client, bash, environment, server, until
from tests.tokens import Tokens

NOBODY = "550e8400-e29b-41d4-a716-446655440000"
PATH = "/v1/chat/completions"


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


@pytest.fixture
async def ai(client: Client) -> AsyncIterator[AsyncOpenAI]:
    async with of(client.url) as found:
        yield found


def of(url: str, **options: Any) -> AsyncOpenAI:
    return AsyncOpenAI(base_url=f"{url}/v1", api_key="none", **options)


async def ask(ai: AsyncOpenAI, *messages: Any, **options: Any) -> Any:
    return await ai.chat.completions.create(model="any", messages=messages, **options)


async def test_whole(ai: AsyncOpenAI, client: Client) -> None:
    """The answer is a completion that says which agent it is from, and where the turn is."""
    found = await ask(ai, user("say hello\n" + bash("echo tool") + "\nsay bye"))
    assert found.choices[0].message.content.split() == ["hello", "bye"]
    assert (found.choices[0].finish_reason, found.usage, found.model) == ("stop", None, "q")
    turn = await client.json(
        "GET", f"/api/v1/sessions/{found.qchat['session_id']}/turns/{found.qchat['turn']}", status=200
    )
    assert (int(turn["created_at"]), turn["answer"]) == (found.created, found.choices[0].message.content)


async def test_stream(ai: AsyncOpenAI) -> None:
    """The pieces of the stream, joined, are the answer; the last one says that it is whole."""
    async with await ask(ai, user("say hello\n" + bash("echo tool") + "\nsay bye"), stream=True) as stream:
        chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert "".join(delta.content or "" for delta in deltas).split() == ["hello", "bye"]
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [*[None] * (len(chunks) - 1), "stop"]
    assert len({chunk.id for chunk in chunks}) == 1


async def test_usage(ai: AsyncOpenAI) -> None:
    """Who asks for usage gets the chunk for it, and nothing that is made up."""
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = [chunk async for chunk in await ask(ai, user("say x"), **options)]
    assert (chunks[-1].choices, chunks[-1].usage) == ([], None)


async def test_models(ai: AsyncOpenAI) -> None:
    """There is one model, the agent; any other is not found."""
    (model,) = (await ai.models.list()).data
    assert model.id == "q"
    assert (await ai.models.retrieve("q")).id == "q"
    with pytest.raises(openai.NotFoundError):
        await ai.models.retrieve("some/other")


async def test_sessions(ai: AsyncOpenAI, client: Client) -> None:
    """A session that is named, in any of three ways, gets the user's last message; else a fresh one all."""
    session = await client.session()
    talk = [{"role": "system", "content": "Be brief."}, user("say one"), user("say two")]
    ways: list[dict[str, Any]] = [
        {"extra_headers": {"X-Session-Id": session}},
        {"extra_body": {"session_id": session}},
        {"metadata": {"session_id": session}},
    ]
    for number, way in enumerate(ways, 1):
        found = await ask(ai, *talk, **way)
        assert found.choices[0].message.content == "two"
        assert found.qchat == {"session_id": session, "turn": number, "reason": "completed"}
    answers = [await ask(ai, *talk, user="somebody") for _ in range(2)]
    fresh = {answer.qchat["session_id"] for answer in answers}
    assert len(fresh) == 2
    assert session not in fresh
    turn = await client.json("GET", f"/api/v1/sessions/{fresh.pop()}/turns/1")
    assert turn["prompt"].endswith("[system]\nBe brief.\n\n[user]\nsay one\n\n[user]\nsay two")


async def test_parts(ai: AsyncOpenAI, client: Client) -> None:
    """Parts of text are joined; an assistant that only called a tool has said nothing."""
    parts = [{"type": "text", "text": "say a"}, {"type": "text", "text": "say b"}]
    found = await ask(ai, {"role": "assistant", "content": None}, {"role": "user", "content": parts})
    assert found.choices[0].message.content.replace("\n", "") == "ab"


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": "hello"}, "messages"),
    ({"messages": ["hello"]}, "messages[0]"),
    ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": [], "content": "x"}]}, "messages[0].role"),
    ({"messages": [{"role": "assistant", "content": "x"}]}, "messages"),
    ({"messages": [user("  ")]}, "messages"),
    ({"messages": [user("a\0b")]}, "messages"),
    ({"messages": [user("x" * 100_001)]}, "messages"),
    ({"messages": [{"role": "user"}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": {"text": "x"}}]}, "messages[0].content"),
    ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0].type"),
    ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
    ({"messages": [{"role": "user", "content": "x", "name": 7}]}, "messages[0].name"),
    ({"session_id": "nope"}, "session_id"),
    ({"session_id": 7}, "session_id"),
    ({"metadata": {"session_id": "../x"}}, "metadata.session_id"),
    ({"metadata": [1]}, "metadata"),
    ({"session_id": NOBODY, "metadata": {"session_id": NOBODY.replace("5", "6")}}, "session_id"),
    ({"model": 7}, "model"),
    ({"n": 2}, "n"),
    ({"tools": [{"type": "function"}]}, "tools"),
    ({"functions": [{}]}, "functions"),
    ({"stop": ["\n"]}, "stop"),
    ({"logprobs": True}, "logprobs"),
    ({"response_format": {"type": "json_object"}}, "response_format"),
    ({"modalities": ["audio"]}, "modalities"),
    ({"stream": "yes"}, "stream"),
    ({"stream_options": [1]}, "stream_options"),
    ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    ({"on_busy": "dance"}, None),
]


@pytest.mark.parametrize(("wrong", "param"), REFUSED)
async def test_refused(client: Client, wrong: dict[str, Any], param: str | None) -> None:
    """What cannot be honoured is refused in OpenAI's words, naming the field, and runs nothing."""
    found = await client.json("POST", PATH, json={"messages": [user("say x")], **wrong}, status=400)
    assert set(found) == {"error"}
    assert set(found["error"]) == {"message", "type", "param", "code"}
    assert (found["error"]["type"], found["error"]["code"]) == ("invalid_request_error", "VALIDATION_ERROR")
    assert found["error"]["param"] == param
    assert not param or param in found["error"]["message"]
    assert (await client.json("GET", "/api/v1/sessions"))["sessions"] == []


async def test_ignored(ai: AsyncOpenAI) -> None:
    """Wishes that an agent cannot be told change nothing."""
    found = await ask(ai, user("say x"), temperature=0.1, max_tokens=5, seed=1, tools=[], stop=None, n=1)
    assert found.choices[0].message.content == "x"


async def test_errors(ai: AsyncOpenAI, client: Client) -> None:
    """Every error is one that OpenAI's client knows: no session, no endpoint, no method, no JSON."""
    with pytest.raises(openai.NotFoundError) as missing:
        await ask(ai, user("x"), extra_body={"session_id": NOBODY})
    assert missing.value.code == "SESSION_NOT_FOUND"
    with pytest.raises(openai.NotFoundError, match="some/other"):
        await ai.models.retrieve("some/other")
    for method, path, status in (("GET", "/v1/nothing", 404), ("GET", PATH, 405)):
        assert set(await client.json(method, path, status=status)) == {"error"}
    found = await client.json(
        "POST", PATH, data=b"{", headers={"Content-Type": "application/json"}, status=400
    )
    assert found["error"]["type"] == "invalid_request_error"


async def count_turns(client: Client) -> int:
    """How many turns there are in all sessions."""
    sessions = (await client.json("GET", "/api/v1/sessions"))["sessions"]
    return sum([one["last_turn"]["turn"] for one in sessions if one["last_turn"]])


@pytest.mark.parametrize("stream", [False, True])
async def test_a_failed_turn_is_not_repeated(ai: AsyncOpenAI, client: Client, stream: bool) -> None:
    """An error of a turn that ran reaches the caller at once: the client does not try again."""
    with pytest.raises(openai.APIError) as caught:
        await read(await ask(ai, user("say x\nexit 3"), stream=stream))
    assert caught.value.code == "QCLI_PROCESSING_ERROR"
    assert caught.value.message.count("code 3") == 1
    assert await count_turns(client) == 1


async def read(stream: AsyncIterator[Any]) -> list[Any]:
    return [chunk async for chunk in stream]


async def test_timeout_is_not_repeated(start_service: StartService) -> None:
    """A turn that took too long is told once, although the client repeats a 408 by itself."""
    client, _ = await start_service(QCLI_TIMEOUT="5")
    async with of(client.url) as ai:
        with pytest.raises(openai.APIStatusError) as caught:
            await ask(ai, user("hang"))
    assert (caught.value.status_code, caught.value.code) == (408, "QCLI_TIMEOUT")
    assert await count_turns(client) == 1


@pytest.mark.parametrize("named", [False, True])
async def test_a_lost_answer_is_not_run_again(client: Client, tmp_path: Path, named: bool) -> None:
    """The client, whose connection broke, repeats by itself and gets the answer of the first run."""
    body = {"session_id": await client.session()} if named else {}
    async with flaky(client.url, iter([0, 100])) as bad, of(bad.url) as ai:
        found = await ask(ai, user(bash(f"echo ran >> {tmp_path}/runs") + "\nsay done"), extra_body=body)
        assert bad.connections == 3
    assert found.choices[0].message.content == "done"
    assert (tmp_path / "runs").read_text() == "ran\n"
    assert await count_turns(client) == 1


async def test_an_impatient_client_does_not_run_again(client: Client, tmp_path: Path) -> None:
    """A client that stops waiting and asks again waits for the turn that runs."""
    gate = bash(f"echo ran >> {tmp_path}/runs; until [ -e {tmp_path}/go ]; do sleep 0.05; done")
    async with of(client.url, timeout=1, max_retries=1) as ai:
        with pytest.raises(openai.APITimeoutError):
            await ask(ai, user(gate))
    await until((tmp_path / "runs").exists)
    (tmp_path / "go").touch()
    assert await count_turns(client) == 1


async def test_the_same_words_again(client: Client) -> None:
    """The same words on purpose are another turn."""
    session = await client.session()
    async with of(client.url) as ai:
        for number in (1, 2):
            found = await ask(ai, user("say x"), extra_body={"session_id": session})
            assert found.qchat["turn"] == number


async def test_request_key(ai: AsyncOpenAI, client: Client) -> None:
    """A key of the caller's names the turn and its session for ever; with other words it is refused once."""
    key = {"Idempotency-Key": "k"}
    first, again = [await ask(ai, user("say x"), extra_headers=key) for _ in range(2)]
    assert first.id == again.id
    with pytest.raises(openai.ConflictError) as caught:
        await ask(ai, user("say y"), extra_headers=key)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert await count_turns(client) == 1


async def test_tokens(start_service: StartService, tmp_path: Path) -> None:
    """The API key is a token: a wrong one is an error of OpenAI's client, a session of another is none."""
    tokens = Tokens(tmp_path)
    tokens.add("alice")
    tokens.add("bob")
    client, _ = await start_service(QCHAT_TOKENS_FILE=str(tokens.path))
    url = f"{client.url}/v1"
    with pytest.raises(openai.AuthenticationError) as caught:
        await ask(of(client.url), user("say x"))
    assert (caught.value.type, caught.value.code) == ("authentication_error", "UNAUTHORIZED")
    alice, bob = (AsyncOpenAI(base_url=url, api_key=tokens.secrets[name]) for name in ("alice", "bob"))
    found = await ask(alice, user("say x"))
    with pytest.raises(openai.NotFoundError):
        await ask(bob, user("say x"), extra_body={"session_id": found.qchat["session_id"]})
    for one in (alice, bob):
        await one.close()


async def test_busy(ai: AsyncOpenAI, client: Client) -> None:
    """A busy session refuses, or lets wait; the client may try again by itself, for nothing was run."""
    session = await client.session()
    turn = await client.turn(session, "hang")
    with pytest.raises(openai.ConflictError) as caught:
        await ask(ai.with_options(max_retries=0), user("say x"), extra_body={"session_id": session})
    assert caught.value.code == "SESSION_BUSY"
    assert "x-should-retry" not in caught.value.response.headers
    waiting = asyncio.create_task(
        ask(ai, user("say waited"), extra_body={"session_id": session, "on_busy": "queue"})
    )
    await client.json("POST", turn["cancel_url"], status=200)
    assert (await waiting).choices[0].message.content == "waited"


async def test_restart(tmp_path: Path, unused_tcp_port: int) -> None:
    """A stream that a restart cuts ends in an error; the client that repeats finds the turn as it ended."""
    env = environment(tmp_path / "sessions", PORT=str(unused_tcp_port), QCHAT_SHUTDOWN_GRACE="0")
    url = f"http://127.0.0.1:{unused_tcp_port}"
    async with of(url, max_retries=8) as ai:
        async with server(env, tmp_path / "log") as running:
            waiting = asyncio.create_task(ask(ai, user(bash(f"echo ran >> {tmp_path}/runs; sleep 60"))))
            await until((tmp_path / "runs").exists)
            running.kill()
            await running.wait()
        async with server(env, tmp_path / "log"):
            with pytest.raises(openai.InternalServerError) as caught:
                await waiting
            assert caught.value.code == "INTERRUPTED"
    assert (tmp_path / "runs").read_text() == "ran\n"
