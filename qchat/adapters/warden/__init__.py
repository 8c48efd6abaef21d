"""The warden: the small process that starts the agents and outlives nobody's turn.

The service itself never forks. It starts this program once, early, while it is alone, and asks it
over a socket to start every agent. The warden has *keepers* waiting at that socket: each takes one
request and is the subreaper of one turn, so that whatever the agent leaves behind (double forks,
``setsid`` daemons) becomes the keeper's child and nobody else's. The keeper

- starts the agent and tells the service how it ended, at once;
- then kills what is left, until the kernel says that it has no child any more. That answer
  (``ECHILD``) is the proof that nothing of the turn is alive, and only then it says "clear";
- does the same when the service's end of the socket closes: the service's death ends its turns.

The warden and its keepers inherit the lock of the state directory and never unlock it. So a service
that gets the lock knows that no turn of an earlier one is alive.

What every turn has to give up is given up here once and inherited: the rights of root, new
privileges, and by Landlock the ports and processes that are none of an agent's business. The service
keeps all of them. (A restricted *thread* of the service could start agents too, but the service would
stay within their reach as their parent and their user; this process has nothing that is worth
reaching, and forks in a fraction of the time.) Which restrictions, is for the service to decide: they
come as descriptors and numbers, ready to be applied.

Standard library only, started with ``python -I -S``: the smaller this process, the cheaper its forks.
All is imported before the user is changed: that user may not be able to read the library.

Requests come as one SOCK_SEQPACKET message with descriptors [turn socket, stdin, stdout, stderr,
working directory, *passed*, *applied*] and a JSON object:

``argv``, ``env``
    The program. ``passed`` keep their order and are its descriptors from number 3 up.
``directory``
    The working directory's path, where it has to be found anew; else empty.
``applied``
    Names of the last descriptors, which are used on the way to the program and not passed on:
    ``cgroup`` (a ``cgroup.procs`` to enter), ``landlock`` (a ruleset), ``seccomp`` (a filter).
``limits``
    Resource limits by name, such as ``{"NPROC": 100}``.
``bubblewrap``
    The program is bubblewrap, and gets two more descriptors after ``passed``: its
    ``--json-status-fd`` and ``--block-fd``. It is released when the limits are set, on what runs in the
    sandbox and not on bubblewrap itself; signals then go to the agent within.

A keeper reports on the turn socket, a JSON object a message: ``{"pid"}``, ``{"error"}`` (not started),
``{"exit"}`` (an exit code, negative for a signal), ``{"clear"}``. It obeys the messages ``INT``,
``TERM`` (sent to the agent) and ``KILL`` (to everything).
"""
