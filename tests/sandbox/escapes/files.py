"""Reaching files of others: of another session, of the service, of the machine."""

import ctypes
import os
import stat

from tests.sandbox.escapes.common import Told, call, check, escape, libc, others, read

AT_FDCWD = -100
OPEN_BY_HANDLE_AT = {"x86_64": (303, 304), "aarch64": (264, 265)}
CLONE_NEWNS = 0x20000
MS_BIND = 0x1000


@escape
def read_other_session(told: Told) -> object:
    return read(told["other"] + "/secret")


@escape
def list_base_directory(told: Told) -> object:
    return [name for name in os.listdir(told["base"]) if told["other"].endswith(name)]


@escape
def list_other_session(told: Told) -> object:
    return os.listdir(told["other"])


@escape
def stat_other_session(told: Told) -> object:
    return os.stat(told["other"] + "/secret").st_size


@escape
def overwrite_other_session(told: Told) -> object:
    with open(told["other"] + "/victim", "a", encoding="utf-8") as file:
        return file.write("x")


@escape
def plant_in_other_session(told: Told) -> object:
    os.close(os.open(told["other"] + "/planted", os.O_CREAT | os.O_WRONLY))
    return "planted"


@escape
def remove_from_other_session(told: Told) -> object:
    os.unlink(told["other"] + "/to remove")
    return "removed"


@escape
def rename_other_session(told: Told) -> object:
    os.rename(told["other"], told["other"] + "x")
    os.rename(told["other"] + "x", told["other"])
    return "renamed"


@escape
def replace_own_directory(told: Told) -> object:
    os.rename(told["mine"], told["mine"] + "x")
    os.rename(told["mine"] + "x", told["mine"])
    return "renamed"


@escape
def chmod_other_session(told: Told) -> object:
    os.chmod(told["other"] + "/to chmod", 0)
    return "mode 000"


@escape
def touch_other_session(told: Told) -> object:
    os.utime(told["other"] + "/to chmod", (1, 1))
    return "1970"


@escape
def set_attribute_of_other_session(told: Told) -> object:
    os.setxattr(told["other"] + "/to chmod", "user.qchat", b"x")
    return "attribute"


@escape
def read_through_own_symlink(told: Told) -> object:
    os.symlink(told["other"] + "/secret", "link to secret")
    return read("link to secret")


@escape
def hard_link_from_other_session(told: Told) -> object:
    os.link(told["other"] + "/secret", "linked")
    return read("linked")


@escape
def watch_other_session(told: Told) -> object:
    fd = check(libc.inotify_init())
    return check(libc.inotify_add_watch(fd, os.fsencode(told["other"]), 0xFFF)) + 1


@escape
def read_database(told: Told) -> object:
    return read(told["state"] + "/qchat.db")


@escape
def list_state(told: Told) -> object:
    return os.listdir(told["state"])


@escape
def read_token_of_other_home(told: Told) -> object:
    return read(told["other_home"] + "/token")


@escape
def read_home_of_service(told: Told) -> object:
    return read(told["service_home"] + "/token")


@escape
def read_by_root_of_first_process(told: Told) -> object:
    return read("/proc/1/root" + told["other"] + "/secret")


@escape
def read_by_root_of_service(told: Told) -> object:
    for pid in others(told):
        return read(f"/proc/{pid}/root{told['other']}/secret")
    return None


@escape
def read_by_directory_of_other(told: Told) -> object:
    for pid in others(told):
        return os.listdir(f"/proc/{pid}/cwd/")
    return None


@escape
def climb_out_of_root(told: Told) -> object:
    return read("../" * 40 + told["other"].lstrip("/") + "/secret")


@escape
def climb_out_of_chroot(told: Told) -> object:
    os.mkdir("jail")
    check(libc.chroot(b"jail"))
    return "chroot"


@escape
def open_by_handle(told: Told) -> object:
    name_to, open_by = OPEN_BY_HANDLE_AT[os.uname().machine]

    class Handle(ctypes.Structure):
        _fields_ = [("size", ctypes.c_uint), ("kind", ctypes.c_int), ("data", ctypes.c_char * 128)]

    handle, mount = Handle(128), ctypes.c_int()
    call(name_to, AT_FDCWD, b".", ctypes.byref(handle), ctypes.byref(mount), 0)
    here = os.open(".", os.O_RDONLY)
    fd = call(open_by, here, ctypes.byref(handle), os.O_RDONLY)
    return os.listdir(fd)


@escape
def bind_mount_other_session(told: Told) -> object:
    os.mkdir("mounted")
    check(libc.mount(os.fsencode(told["other"]), b"mounted", None, MS_BIND, None))
    libc.umount2(b"mounted", 2)
    return "mounted"


@escape
def make_everything_writable(told: Told) -> object:
    """Mounts that are read-only can be made writable by whoever may mount."""
    check(libc.mount(None, b"/usr", None, 0x20 | MS_BIND, None))
    return "writable"


@escape
def write_to_root(told: Told) -> object:
    return _write_to("/")


@escape
def write_to_etc(told: Told) -> object:
    return _write_to("/etc")


@escape
def write_to_usr(told: Told) -> object:
    return _write_to("/usr/local")


@escape
def write_to_devices(told: Told) -> object:
    return _write_to("/dev")


def _write_to(directory: str) -> object:
    path = f"{directory}/.qchat-escape-{os.getpid()}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    os.unlink(path)
    return path


@escape
def read_temporary_file(told: Told) -> object:
    return read(told["temporary"])


@escape
def read_shared_memory_file(told: Told) -> object:
    return read(told["memory_file"])


@escape
def leave_temporary_file(told: Told) -> object:
    """What others can see in /tmp is a way to talk to them; whether it is there, is for outside to say."""
    with open(told["drop"], "w", encoding="utf-8") as file:
        file.write("x")
    return None


@escape
def make_block_device(told: Told) -> object:
    os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
    return read("disk")


@escape
def read_memory_of_machine(told: Told) -> object:
    for path in ("/dev/mem", "/dev/kmem", "/proc/kcore", "/dev/port"):
        try:
            return os.open(path, os.O_RDONLY) + 1
        except OSError:
            continue
    return None


@escape
def read_disk_of_machine(told: Told) -> object:
    for name in ("vda", "sda", "nvme0n1", "dm-0", "loop0", "nbd0"):
        try:
            return read(f"/dev/{name}")
        except OSError:
            continue
    return None


@escape
def set_core_pattern(told: Told) -> object:
    """The kernel runs it as root, outside of everything; the same value back changes nothing."""
    return _write_back("/proc/sys/kernel/core_pattern")


@escape
def set_module_helper(told: Told) -> object:
    return _write_back("/proc/sys/kernel/modprobe")


@escape
def set_binary_format(told: Told) -> object:
    return os.open("/proc/sys/fs/binfmt_misc/register", os.O_WRONLY) + 1


@escape
def trigger_sysrq(told: Told) -> object:
    return os.open("/proc/sysrq-trigger", os.O_WRONLY) + 1


@escape
def write_to_control_groups(told: Told) -> object:
    for root in ("/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/memory"):
        try:
            os.mkdir(f"{root}/qchat-escape")
            os.rmdir(f"{root}/qchat-escape")
        except OSError:
            continue
        else:
            return root
    return None


def _write_back(path: str) -> object:
    value = read(path)
    fd = os.open(path, os.O_WRONLY)
    os.write(fd, value)
    return value
