"""The questions to the shared state on their connections: replies of each form, and connections that have ended."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from smtpd_classic.shared_state import SharedState, SharedStateDown
from tests.shared_state.redis_server import PATIENT_S, RedisServer


def test_each_form_of_a_reply_is_read(shared: SharedState) -> None:
    script = "return {1, -7, 'text', {'', {}}, false, redis.status_reply('FINE'), ARGV[1]}"
    text = "grüße\r\n\0 \udcff" + "x" * 200_000
    assert shared.run(script, [], [text]) == [1, -7, "text", ["", []], None, "FINE", text]


def test_keys_and_values_arrive_as_they_are(shared: SharedState) -> None:
    script = "return {#KEYS, #ARGV, KEYS[2], ARGV[1], ARGV[2]}"
    assert shared.run(script, ["a", "b\r\n"], [-12, ""]) == [2, 2, "b\r\n", "-12", ""]


def test_a_server_that_has_lost_its_scripts_gets_them_again(shared: SharedState) -> None:
    assert shared.run("return 5", []) == 5
    shared.ask(lambda client: client.script_flush())
    assert shared.run("return 5", []) == 5


def test_an_error_of_a_script_is_named(shared: SharedState) -> None:
    with pytest.raises(SharedStateDown, match="WRONG VALUE"):
        shared.run("return redis.error_reply('WRONG VALUE')", [])


def test_threads_share_the_connections(shared: SharedState) -> None:
    found: list[list[int]] = []

    def ask(number: int) -> None:
        found.append([int(shared.run("return ARGV[1]", [], [number + each])) - number for each in range(200)])

    threads = [threading.Thread(target=ask, args=(each * 1000,)) for each in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [list(range(200))] * 8


def test_the_first_question_after_a_restart_gets_its_answer(tmp_path: Path) -> None:
    """The connections that lay idle have ended with the old server: no question is lost on them."""
    server = RedisServer(tmp_path)
    server.start()
    said: list[str] = []
    state = SharedState(server.url, b"x", deadline_s=PATIENT_S, say=said.append)
    try:
        state.keep("greylist", "a", "b", 60)
        server.kill()
        server.start()
        assert state.text("greylist", "a") is None
        assert said == []
    finally:
        state.close()
        server.stop()


@contextmanager
def saying(*replies: bytes) -> Iterator[str]:
    """A server that is no Redis: it gives each reply to one connection, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for reply in replies:
                with listening.accept()[0] as connection:
                    connection.recv(65_536)
                    connection.sendall(reply)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"redis://127.0.0.1:{listening.getsockname()[1]}/0"
        thread.join(10)


@pytest.mark.parametrize("reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"", b"$5\r\nab", b"*2\r\n:1\r\n", b":x\r\n"])
def test_another_answer_than_that_of_redis_counts_as_none(reply: bytes) -> None:
    with saying(*[reply] * 3) as url:
        state = SharedState(url, b"x", deadline_s=PATIENT_S)
        try:
            for _ in range(3):
                with pytest.raises(SharedStateDown, match=r"127\.0\.0\.1"):
                    state.ask(lambda client: state._links.run(client.connection_pool, "return 1", [], []))
        finally:
            state.close()


def test_a_silent_server_is_named_as_such(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    state = SharedState(server.url, b"x", deadline_s=0.5)
    try:
        state.keep("greylist", "a", "b", 60)
        server.pause()
        with pytest.raises(SharedStateDown, match="no answer within 500 ms"):
            state.text("greylist", "a")
    finally:
        state.close()
        server.stop()


def test_a_child_process_opens_connections_of_its_own(shared: SharedState) -> None:
    assert shared.run("return 1", []) == 1
    reading, writing = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(writing, str(shared.run("return 2", [])).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(reading, 10) == b"2"
    os.close(reading)
    os.close(writing)
    assert shared.run("return 3", []) == 3
