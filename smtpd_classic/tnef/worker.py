"""The decoder's own process: TNEF on standard input, a MIME entity with LF line ends on standard output.

The argument is the length of the text that stands beside the TNEF, which comes first on standard input, or “alone”. The
process bounds itself before it reads a byte, because tnefparse believes every count in a file.
"""

import resource
import sys

MEMORY = 512 * 1024**2
CPU_S = 10

if __name__ == "__main__":
    for what, limit in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_CPU, CPU_S),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (limit, limit))
    from smtpd_classic.tnef.compose import entity
    from smtpd_classic.tnef.decode import NothingInside, decode
    from smtpd_classic.tnef.mime import MAX_SIZE

    beside = None if sys.argv[1] == "alone" else sys.stdin.buffer.read(int(sys.argv[1])).decode("utf-8", "replace")
    tnef = sys.stdin.buffer.read(MAX_SIZE + 1)
    try:
        sys.stdout.buffer.write(entity(decode(tnef), tnef, beside))
        sys.stdout.buffer.flush()
    except NothingInside as problem:
        sys.exit(str(problem))
    except MemoryError:
        sys.exit("it asks for more memory than it may have.")
    except Exception as problem:  # tnefparse raises any exception; the parent delivers the original
        sys.exit(f"it cannot be decoded ({type(problem).__name__}).")
