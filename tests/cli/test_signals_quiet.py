"""Ctrl-C again and again, a terminal that goes away: a quiet end, and what is finished is kept."""

import os
import signal
import subprocess
import threading
import time

import pytest
from as_process import start
from small_leaderboard import SMALL

from benchmark.engines.undisturbed import undisturbed
from reports.console.terminal import run_command

END = "oodbench: interrupted; what is finished is kept, the same command goes on from there\n"


@pytest.mark.long
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP", "SIGTERM"])
def test_r11_five_signals_to_all_processes_end_a_run_quietly(tmp_path, name):
    """As a terminal sends them: to the run, its workers, and the tracker of their semaphores."""
    (tmp_path / "leaderboard.yaml").write_text(SMALL)
    running = start(
        "run", "--all", "--jobs", "2", "--cache", "cache", cwd=tmp_path, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr.readline() == "24 jobs, 2 at a time\n"
    time.sleep(0.3)  # the workers are being started
    for _ in range(5):
        os.killpg(running.pid, getattr(signal, name))
        time.sleep(0.05)
    out, err = running.communicate(timeout=120)
    assert (running.returncode, out) == (130, "")
    assert err in (END, f"0 jobs done in 0:00\n{END}")


def test_r11_the_first_signal_interrupts_and_the_others_do_nothing(capsys):
    before = signal.getsignal(signal.SIGUSR1)
    finished = []

    def work():
        try:
            os.kill(os.getpid(), signal.SIGUSR1)
            time.sleep(10)
        finally:
            for _ in range(4):
                os.kill(os.getpid(), signal.SIGUSR1)
            finished.append("written")

    try:
        with pytest.raises(SystemExit) as done:
            run_command(work, [signal.SIGUSR1])
        assert (done.value.code, finished) == (130, ["written"])
        assert capsys.readouterr().err == END
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_IGN  # until this process has ended
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_r11_handlers_are_put_back_and_what_was_ignored_stays_so():
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    try:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)

        def work():
            assert callable(signal.getsignal(signal.SIGUSR1))
            assert signal.getsignal(signal.SIGUSR2) is signal.SIG_IGN
            os.kill(os.getpid(), signal.SIGUSR2)

        with pytest.raises(SystemExit) as done:
            run_command(work, [signal.SIGUSR1, signal.SIGUSR2])
        assert done.value.code == 0
        assert signal.getsignal(signal.SIGUSR1) == before[signal.SIGUSR1]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_r11_a_signal_while_a_process_is_started_waits():
    came = []
    before = signal.signal(signal.SIGHUP, lambda *_: came.append("heard"))
    try:
        with undisturbed():
            os.kill(os.getpid(), signal.SIGHUP)
            blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            time.sleep(0.05)
            assert came == []
        time.sleep(0.05)
        assert came == ["heard"]
        assert {signal.SIGINT, signal.SIGHUP} <= blocked
        assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    finally:
        signal.signal(signal.SIGHUP, before)


def test_r11_other_threads_may_start_processes_too():
    def enter():
        with undisturbed():
            found.append(True)

    found: list[bool] = []
    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [True]
