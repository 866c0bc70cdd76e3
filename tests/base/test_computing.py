import os
import signal
import subprocess
import sys
import time

from orchestrator.base.process import computed_ticks


def test_cpu_time_of_a_process_rises_while_it_computes_and_is_unknown_while_it_is_stopped() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            deadline = time.monotonic() + 30
            while (computed_ticks(process.pid) or 0) < 3:
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGSTOP)
            os.waitpid(process.pid, os.WUNTRACED)
            assert computed_ticks(process.pid) is None
        finally:
            process.kill()
    assert computed_ticks(process.pid) is None
