"""Of two threads that compile and answer, one is at work at a time, and no answer waits for the end."""

from __future__ import annotations

from threading import Thread

from compiler.editor.baton import Baton

MOST = 200_000
"""Steps after which it is not compiled any more, whether or not an answer was given."""


def test_an_answer_is_given_in_between_and_alone() -> None:
    baton, log, ends = Baton(), list[str](), list[bool]()

    def compile() -> None:
        with baton.compiling():
            while not ends and len(log) < MOST:
                log.append("begin")
                log.append("end")
                assert baton.hand_over() is False

    thread = Thread(target=compile)
    thread.start()
    for _ in range(50):
        with baton.answering():
            log.append("answer")
            before = len(log)
            sum(range(1000))
            assert len(log) == before
    ends.append(True)
    thread.join()
    assert log.count("answer") == 50
    assert log.index("answer") < MOST
    steps = [step for step in log if step != "answer"]
    assert steps == ["begin", "end"] * (len(steps) // 2)
    for at in (number for number, step in enumerate(log) if step == "answer"):
        assert log[at - 1] != "begin"
