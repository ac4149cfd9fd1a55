"""Make a process as poor as one on Windows: take away what only POSIX systems have.

It has to be called before `socket`, `select` and `signal` are imported. `socket.socketpair` is then Python's own of
Windows, which connects two TCP sockets.
"""

from __future__ import annotations

import importlib
import os
import sys
import warnings

__all__ = ["take_posix_away"]

_MODULES = "crypt curses fcntl grp nis posix_ipc pty pwd readline resource spwd syslog termios tty"

_NAMES = {
    "os": """
        O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK O_SYNC PRIO_PROCESS WNOHANG
        chown chroot eventfd fchdir fchmod fchown fdatasync fork forkpty getegid geteuid getgid getgroups getloadavg
        getpgid getpgrp getpriority getsid getuid killpg lchown lockf memfd_create mkfifo mknod nice openpty pidfd_open
        pipe2 posix_fadvise posix_fallocate posix_spawn posix_spawnp pread pwrite readv register_at_fork
        sched_getaffinity sched_setaffinity sched_yield sendfile set_blocking setpgid setpriority setsid setuid
        statvfs sync tcgetpgrp tcsetpgrp ttyname uname wait wait3 wait4 waitid writev
    """,
    "_socket": """
        AF_NETLINK AF_PACKET AF_UNIX CMSG_LEN CMSG_SPACE MSG_DONTWAIT MSG_EOR MSG_NOSIGNAL SCM_RIGHTS SO_BINDTODEVICE
        SO_DOMAIN SO_MARK SO_PASSCRED SO_PEERCRED SO_PRIORITY SO_PROTOCOL SO_REUSEPORT TCP_CONGESTION TCP_CORK
        TCP_DEFER_ACCEPT TCP_INFO TCP_QUICKACK TCP_USER_TIMEOUT if_indextoname sethostname socketpair
    """,
    "select": """
        EPOLLERR EPOLLHUP EPOLLIN EPOLLOUT POLLERR POLLHUP POLLIN POLLNVAL POLLOUT POLLPRI PIPE_BUF
        devpoll epoll kevent kqueue poll
    """,
    "_signal": """
        ITIMER_PROF ITIMER_REAL ITIMER_VIRTUAL SIGALRM SIGCHLD SIGCONT SIGHUP SIGIO SIGKILL SIGPIPE SIGPROF SIGQUIT
        SIGSTOP SIGTSTP SIGTTIN SIGTTOU SIGURG SIGUSR1 SIGUSR2 SIGVTALRM SIGWINCH SIG_BLOCK SIG_SETMASK SIG_UNBLOCK
        alarm getitimer pause pidfd_send_signal pthread_kill pthread_sigmask setitimer siginterrupt sigpending
        sigtimedwait sigwait sigwaitinfo
    """,
    "mmap": "MAP_ANON MAP_ANONYMOUS MAP_PRIVATE MAP_SHARED PROT_READ PROT_WRITE",
    "time": "tzset",
}


def take_posix_away() -> None:
    """Do so for the rest of this process, and raise errors for files that are opened without an encoding."""
    early = [name for name in ("select", "signal", "socket") if name in sys.modules]
    assert not early, f"{early} are imported, and have what is to be taken away"
    for module_name, names in _NAMES.items():
        module = importlib.import_module(module_name)
        for name in names.split():
            if hasattr(module, name):
                delattr(module, name)
    for name in _MODULES.split():
        sys.modules[name] = None  # type: ignore[assignment]
    assert not hasattr(os, "fork")
    warnings.filterwarnings("error", category=EncodingWarning, module="kucoin_sync")
