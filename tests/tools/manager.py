# SPDX-License-Identifier: GPL-2.0-or-later
"""manager.py SOCKET [--no-store] COMMAND...: systemd's part, for a daemon that it starts.

It keeps the descriptors that come to SOCKET, unless --no-store, prints each message, and starts the daemon again where
it was killed or has ended with 75. A line on stdin is a signal that it sends to the daemon: "TERM". Started in a pid
namespace of its own it is process 1 there.
"""
import array
import os
import select
import signal
import socket
import sys

FIRST = 3
AGAIN = 75
path, arguments = sys.argv[1], sys.argv[2:]
keeps = arguments[0] != "--no-store"
command = arguments if keeps else arguments[1:]
store = {}
inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
inbox.bind(path)


def start():
    child = os.fork()
    if child:
        return child
    above = [os.dup2(fd, 200 + i) for i, fd in enumerate(store.values())]
    for i, fd in enumerate(above):
        os.dup2(fd, FIRST + i)
    os.environ["NOTIFY_SOCKET"] = path
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.environ["LISTEN_FDS"] = str(len(above))
    os.environ["LISTEN_FDNAMES"] = ":".join(store)
    os.closerange(FIRST + len(above), 400)
    os.execvp(command[0], command)


def take(message, fds):
    lines = dict(line.split("=", 1) for line in message.splitlines() if "=" in line)
    print(" ".join(message.splitlines()), flush=True)
    name = lines.get("FDNAME")
    if "FDSTORE" in lines and fds and keeps:
        store[name] = fds[0]
    elif "FDSTOREREMOVE" in lines and name in store:
        os.close(store.pop(name))
    elif fds:
        os.close(fds[0])


daemon = start()
ended = os.pidfd_open(daemon)
while True:
    ready = select.select([inbox, sys.stdin, ended], [], [])[0]
    if inbox in ready:
        data, ancillary, _, _ = inbox.recvmsg(4096, socket.CMSG_SPACE(4))
        take(data.decode(), [fd for _, _, bytes_ in ancillary for fd in array.array("i", bytes_)])
    elif ended in ready:
        status = os.waitstatus_to_exitcode(os.waitpid(daemon, 0)[1])
        print(f"ended {status}", flush=True)
        os.close(ended)
        if status >= 0 and status != AGAIN:
            break
        daemon = start()
        ended = os.pidfd_open(daemon)
    elif sys.stdin in ready:
        line = sys.stdin.readline().strip()
        if not line:
            break
        os.kill(daemon, getattr(signal, "SIG" + line))
