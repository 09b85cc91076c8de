"""The kernel lab: Debian's kernel in an emulator, as the judge of JFFS2 images. See lab.py for how to ask it."""
