"""Run a program of the consumer's with a short session: Kafka gives a killed member's partitions away after 8 s.

python short_session.py SCRIPT ARGUMENT...
"""

import runpy
import sys

from lastlogin_consumer import source


if __name__ == "__main__":
    # Brokers allow no less than 6 s (group.min.session.timeout.ms); aiokafka's heartbeats are 3 s apart.
    source.SESSION_TIMEOUT_MS = 8_000
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
