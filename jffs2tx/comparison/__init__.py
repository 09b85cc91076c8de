"""What a power cut leaves of the usual ways to upgrade, beside this program's: the same trees, the same torture.

`log` and `vfs` write node logs as Linux's JFFS2 does, `methods` upgrades through them (or by a transaction) on a
recording simulator, `strips` cuts the power at every operation and looks, `terminal`, `svg` and `table` show it.
"""
