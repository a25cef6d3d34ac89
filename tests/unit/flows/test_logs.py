"""Lines of the log are those that the program wrote."""

import logging

from flows.observe.logs import set_up_logs


def test_a_name_adds_no_line_and_no_escape_sequence(caplog) -> None:
    set_up_logs()
    with caplog.at_level(logging.WARNING, "latentsync"):
        logging.getLogger("latentsync.media").warning("%s: %s", "a\nERROR all is lost\x1b[2J.mp4", "is truncated")
    assert caplog.messages == ["a\\nERROR all is lost\\x1b[2J.mp4: is truncated"]
