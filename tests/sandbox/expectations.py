"""What is open at which level, and why some attempts get nowhere even without a sandbox.

docs/security.md tells the same in words; what is listed as open here has to be so, lest that grow stale.
"""

NETWORK = {
    "listen_without_binding": "Landlock is not asked when the kernel picks the port",
    "read_sockets_by_proc": "the network is shared, and with it the list of connections",
    "send_datagram_to_loopback": "Landlock knows TCP only",
}
"""What a shared network leaves open."""

OPEN: dict[str, dict[str, str]] = {
    "bubblewrap": NETWORK,
    "bubblewrap, network none": {},
    "landlock": {
        **NETWORK,
        "chmod_other_session": "Landlock guards what is in files, not what is known of them",
        "see_processes": "/proc is shared",
        "start_many_processes": "the processes of a user are counted together",
        "stat_other_session": "Landlock guards what is in files, not what is known of them",
        "touch_other_session": "Landlock guards what is in files, not what is known of them",
        "watch_other_session": "Landlock guards what is in files, not what is known of them",
    },
}
SAME_USER = {
    "landlock": {
        "list_descriptors_of_service": "the service is the same user, and how many it has open is no secret",
    }
}
"""What else is open when the service is not root, so that agents run as the same user."""

HELD_ANYWAY = {
    "leave_daemon": "the keeper ends it, sandbox or not",
    "make_block_device": "containers and virtual machines may forbid devices",
    "make_everything_writable": "/usr is a mount of its own in a sandbox only",
    "read_by_root_of_first_process": "process 1 may have rights that the tests lack",
    "read_disk_of_machine": "the disks of this machine may have other names, or be out of reach",
    "read_memory_of_machine": "kernels are built without it",
    "set_binary_format": "it may not be mounted",
    "set_module_helper": "kernels without modules have none",
    "trigger_sysrq": "kernels are built without it",
    "use_numbers_of_other_processor": "kernels are built without 32-bit programs",
    "use_numbers_of_x32": "kernels are built without x32",
    "use_sctp": "the protocol may not be there",
    "use_strange_families": "the families may not be there",
    "use_terminal_of_service": "the tests may have none",
    "push_into_terminal": "dev.tty.legacy_tiocsti may be off",
    "push_with_disguised_number": "dev.tty.legacy_tiocsti may be off",
    "connect_to_metadata_port": "something else may have the port",
    "connect_to_service_by_ipv6": "there may be no IPv6",
    "connect_by_multipath_tcp": "net.mptcp.enabled may be off",
    "connect_by_multipath_tcp_over_ipv6": "net.mptcp.enabled may be off",
    "handle_page_faults": "kernels are built without it",
    "count_events_of_processor": "kernel.perf_event_paranoid may forbid it",
    "connect_by_io_uring": "kernel.io_uring_disabled may be set",
    "list_sockets_of_machine": "kernels are built without it",
    "use_message_queue": "kernels are built without it",
    "watch_whole_file_system": "kernels are built without it",
    "write_to_control_groups": "they may not be mounted, or not writable",
    "unshare_user_namespace": "machines forbid it",
    "unshare_everything": "machines forbid it",
    "clone_user_namespace": "machines forbid it",
    "clone_by_third_call": "machines forbid it",
    "set_attribute_of_other_session": "the file system may have no attributes",
}
"""Attempts that need not succeed without a sandbox, on this machine or that."""

NEEDS_ROOT = {
    "become_root", "bind_mount_other_session", "change_routes", "climb_out_of_chroot", "clone_mount_tree",
    "have_capabilities", "join_namespace", "load_bpf_program", "open_by_handle", "open_new_file_system",
    "read_kernel_log", "run_as_root", "set_core_pattern", "use_packet_socket", "use_raw_socket",
    "write_to_devices", "write_to_etc", "write_to_root", "write_to_usr",
}  # fmt: skip
"""Attempts that an ordinary user has no right to in the first place."""
