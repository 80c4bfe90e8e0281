#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Readers of the mount, who write down how it goes: each outcome that differs from the one before is a line on stdout.
The pid is written to descriptor 3.

hold PATH        has the file open and reads it again and again: "reads", or what read(2) fails with
come-and-go PATH opens and closes it again and again: "opens", or what open(2) fails with
guest DISK PATH  has the disk open for writing, and holds PATH, until SIGUSR1: then only PATH
"""
import errno
import os
import signal
import sys
import time

PAUSE_S = 0.005
last = None


def tell(outcome):
    global last
    if outcome != last:
        print(outcome, flush=True)
    last = outcome


def attempt(outcome, action, *arguments):
    try:
        action(*arguments)
        tell(outcome)
    except OSError as error:
        tell(errno.errorcode[error.errno])
    time.sleep(PAUSE_S)


def hold(path):
    fd = os.open(path, os.O_RDONLY)
    while True:
        attempt("reads", os.pread, fd, 4096, 0)


def open_and_close(path):
    os.close(os.open(path, os.O_RDONLY))


def main():
    what, path = sys.argv[1], sys.argv[-1]
    os.write(3, b"%d\n" % os.getpid())
    if what == "guest":
        disk = os.open(sys.argv[2], os.O_RDWR)
        signal.signal(signal.SIGUSR1, lambda *_: os.close(disk))
    if what == "come-and-go":
        while True:
            attempt("opens", open_and_close, path)
    hold(path)


main()
