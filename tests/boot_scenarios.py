"""Transactions as a boot loader sees them: kernels in /boot, found by name and by link."""

from __future__ import annotations

from jffs2tx.transaction import Transaction

from .scenarios import Scenario, Tree, noise, text

KERNEL_BYTES = 60_000


def boot_tree(t: Tree, b: str) -> None:
    t.file("untouched/data", noise(5000, 301))
    t.link("untouched/link", "data")
    t.file(f"{b}boot/vmlinuz-1", noise(KERNEL_BYTES, 302), 0o600)
    t.link(f"{b}boot/vmlinuz", "vmlinuz-1")
    t.link(f"{b}kernel", "boot/vmlinuz-1")
    t.link(f"{b}rooted", f"/{b}boot/vmlinuz-1")
    t.file(f"{b}boot/conf", text(60, 303))
    t.file(f"{b}etc/motd", text(200, 304))


def used(tx: Transaction, b: str) -> None:
    """An earlier upgrade that removed nothing."""
    tx.put(f"{b}boot/conf", text(70, 311))
    tx.put(f"{b}etc/issue", text(20, 312))


def same_name(tx: Transaction, b: str) -> None:
    """Another kernel under the name that the links have."""
    tx.put(f"{b}boot/vmlinuz-1", noise(KERNEL_BYTES, 321))
    tx.put(f"{b}boot/conf", text(50, 322))
    tx.put(f"{b}etc/motd", text(210, 323))


def next_kernel(tx: Transaction, b: str) -> None:
    """A kernel beside the old one, and the links to it."""
    tx.put(f"{b}boot/vmlinuz-2", noise(KERNEL_BYTES, 331))
    targets = {"boot/vmlinuz": "vmlinuz-2", "kernel": "boot/vmlinuz-2", "rooted": f"/{b}boot/vmlinuz-2"}
    for link, target in targets.items():
        tx.remove(f"{b}{link}")
        tx.symlink(f"{b}{link}", target)
    tx.put(f"{b}etc/motd", text(220, 332))


def old_kernel_gone(tx: Transaction, b: str) -> None:
    next_kernel(tx, b)
    tx.remove(f"{b}boot/vmlinuz-1")
    tx.remove(f"{b}etc/issue")


def links_moved(tx: Transaction, b: str) -> None:
    tx.rename(f"{b}boot/vmlinuz", f"{b}boot/default")
    tx.rename(f"{b}kernel", f"{b}linux")
    tx.rename(f"{b}rooted", f"{b}boot/rooted")
    tx.link(f"{b}boot/default", f"{b}boot/again")
    tx.put(f"{b}etc/motd", text(230, 341))


BOOT_SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario("boot-same-name", same_name, boot_tree, past=(used,)),
        Scenario("boot-next", next_kernel, boot_tree, past=(used,)),
        Scenario("boot-removed", old_kernel_gone, boot_tree, past=(used,)),
        Scenario("boot-links", links_moved, boot_tree, past=(used,)),
    )
}
#: Those that delete a name.
REMOVING = ("boot-removed", "boot-links")
