import io

from jffs2tx.progress import format_bytes, reporter


def test_lines_come_at_tenths_and_for_each_phase():
    stream = io.StringIO()
    with reporter(stream=stream) as progress:
        for done in range(0, 2049, 64):
            progress("hash", done, 2048)
        progress("stage", 5, 10)
        progress("stage", 5, 10)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 11
    assert lines[0] == "hash: 256 bytes of 2.0 KiB (12 %)"
    assert lines[-2:] == ["hash: 2.0 KiB of 2.0 KiB (100 %)", "stage: 5 bytes of 10 bytes (50 %)"]


def test_nothing_to_do_is_done():
    stream = io.StringIO()
    with reporter(stream=stream) as progress:
        progress("hash", 0, 0)
    assert stream.getvalue() == "hash: 0 bytes of 0 bytes (100 %)\n"


def test_a_terminal_gets_a_bar():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    with reporter(stream=stream) as progress:
        progress("hash", 50, 100)
        progress("hash", 100, 100)
    assert "hash" in stream.getvalue()


def test_quiet_has_no_callback():
    with reporter(quiet=True) as progress:
        assert progress is None


def test_format_bytes():
    assert [format_bytes(n) for n in (0, 1023, 1024, 1536 << 10, 3 << 30)] == [
        "0 bytes", "1023 bytes", "1.0 KiB", "1.5 MiB", "3.0 GiB",
    ]  # fmt: skip
