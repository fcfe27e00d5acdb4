"""Jars from Maven, the servers' and others, fetched once and shared by all stacks.

`python -m lastlogin_stack.jars` fetches all of them. Standard library only: setup asks `--missing` before
there is an environment.
"""

import fcntl
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lastlogin_stack.errors import StackError
from lastlogin_stack.layout import JARS_CACHE
from lastlogin_stack.server import find_program


# Pinned: without a version each Maven takes another default.
_COPY_GOAL = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_MAVEN_LINES = 5


@dataclass(frozen=True, slots=True)
class JarSet:
    """A server or library, and the Maven artifacts (group:artifact:version) that make it up, with all they need."""

    name: str
    version: str
    artifacts: tuple[str, ...]
    megabytes: int

    @property
    def directory_name(self) -> str:
        """The name of its directory in the cache."""
        return f"{self.name}-{self.version}"


KAFKA_JARS = JarSet(
    "kafka",
    "4.3.1",
    (
        "org.apache.kafka:kafka_2.13:4.3.1",
        "org.apache.kafka:kafka-tools:4.3.1",
        # Without a logger a broker that cannot start exits without a word.
        "org.slf4j:slf4j-simple:1.7.36",
    ),
    megabytes=54,
)
CASSANDRA_JARS = JarSet("cassandra", "5.0.9", ("org.apache.cassandra:cassandra-all:5.0.9",), megabytes=67)
# Not a server: what a subscriber in Java reads the events with (docs/events.md); a test compiles and runs that.
AVRO_JARS = JarSet("avro", "1.12.1", ("org.apache.avro:avro:1.12.1",), megabytes=6)
_ALL = (KAFKA_JARS, CASSANDRA_JARS, AVRO_JARS)


def pom(jars: JarSet) -> str:
    """Return a Maven project whose only content is its dependencies."""
    dependencies = "".join(
        f"<dependency><groupId>{group}</groupId><artifactId>{artifact}</artifactId>"
        f"<version>{version}</version></dependency>"
        for group, artifact, version in (name.split(":") for name in jars.artifacts)
    )
    return (
        '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>'
        f"<groupId>local</groupId><artifactId>{jars.name}</artifactId><version>1</version>"
        f"<packaging>pom</packaging><dependencies>{dependencies}</dependencies></project>\n"
    )


def class_path(jars: JarSet, cache: Path = JARS_CACHE) -> str:
    """Return java's class path for jars that are there."""
    return f"{cache / jars.directory_name}/*"


def ensure(jars: JarSet, report: Callable[[str], None], cache: Path = JARS_CACHE) -> None:
    """Fetch the jars unless they are there; safe against Ctrl-C and against another process doing the same.

    `report` gets progress lines. Raises `StackError` when Maven is missing or fails.
    """
    target = cache / jars.directory_name
    if target.is_dir():
        return
    maven = find_program("mvn")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{jars.directory_name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            return
        for leftover in cache.glob(f"{jars.directory_name}.part-*"):
            shutil.rmtree(leftover)
        report(f"{jars.name:<10} fetching the jars of version {jars.version} (about {jars.megabytes} MB) ...")
        begun = time.monotonic()
        with tempfile.TemporaryDirectory(prefix=f"{jars.directory_name}.part-", dir=cache) as part:
            _copy_dependencies(maven, jars, Path(part))
            # The rename comes last: a directory under the final name is always complete.
            (Path(part) / "lib").rename(target)
        report(f"{jars.name:<10} jars are in {target} after {time.monotonic() - begun:.1f} s")


def _copy_dependencies(maven: str, jars: JarSet, part: Path) -> None:
    (part / "pom.xml").write_text(pom(jars), encoding="utf-8")
    done = subprocess.run(
        # -C: a jar whose checksum is wrong is an error, not a warning.
        [maven, "-q", "-B", "-C", "-f", str(part / "pom.xml"), _COPY_GOAL, f"-DoutputDirectory={part / 'lib'}"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()][:_MAVEN_LINES]
        text = "\n".join(f"  {line}" for line in lines)
        raise StackError(f"Maven cannot fetch the jars of {jars.name} {jars.version}:\n{text}")


def main() -> None:
    """Fetch all jars, or with `--missing` only name what would be fetched."""
    if sys.argv[1:] == ["--missing"]:
        absent = [jars for jars in _ALL if not (JARS_CACHE / jars.directory_name).is_dir()]
        print(", ".join(f"{jars.name} {jars.version} (about {jars.megabytes} MB)" for jars in absent))
        return
    try:
        for jars in _ALL:
            ensure(jars, lambda line: print(line, flush=True))
    except StackError as error:
        print(f"jars: {error}", file=sys.stderr)
        sys.exit(error.code)
    except KeyboardInterrupt:
        print("jars: interrupted; the next run starts over", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
