#!/bin/sh
# Say all that is missing at once: local/prerequisites.sh PYTHON [java]
# With `java` also what Leshan needs: a JDK, and Maven unless the jars are built.
python=$1
missing=
need() { missing="$missing
  $1"; }

if ! command -v "$python" >/dev/null; then
    need "Python 3.11 or newer: $python was not found"
elif ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    need "Python 3.11 or newer: $("$python" --version) is too old (another one: make PYTHON=python3.12 ...)"
elif ! "$python" -c 'import venv, ensurepip' 2>/dev/null; then
    need "Python's venv"
fi
if [ "$2" = java ]; then
    java=java javac=javac
    [ -n "$JAVA_HOME" ] && [ -x "$JAVA_HOME/bin/java" ] && java=$JAVA_HOME/bin/java
    [ -n "$JAVA_HOME" ] && [ -x "$JAVA_HOME/bin/javac" ] && javac=$JAVA_HOME/bin/javac
    if ! command -v "$java" >/dev/null; then
        need "JDK 17 or newer: java was not found"
    else
        version=$("$java" -version 2>&1 | sed -nE 's/.*version "(1\.)?([0-9]+).*/\2/p')
        [ "${version:-0}" -ge 17 ] || need "JDK 17 or newer: $java is version ${version:-unknown}"
    fi
    if [ ! -e leshan/server/target/leshan-server.jar ]; then
        command -v "$javac" >/dev/null || need "JDK 17 or newer: javac was not found"
        command -v mvn >/dev/null || need "Maven: mvn was not found"
    fi
fi
[ -z "$missing" ] && exit 0
cat >&2 <<END
error: missing:$missing
on Debian 12 or Ubuntu 24.04: sudo apt-get install python3 python3-venv openjdk-17-jdk-headless maven
END
exit 1
