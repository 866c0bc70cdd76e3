"""For all tests: an interrupt interrupts, also where the suite runs in the background of a shell that ignores it."""

import signal

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
