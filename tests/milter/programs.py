"""Real filters as programs: started in the foreground, each with the files of its own."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.tools import need
from tests.waiting import until

__all__ = ["rspamd", "spamassassin", "started"]

_RSPAMD = """
options {{
  pidfile = "{place}/rspamd.pid";
  filters = "";
  temp_dir = "{place}";
  url_tld = "{place}/suffixes";
  disable_hyperscan = true;
  dns {{ nameserver = ["127.0.0.1:1"]; timeout = 0.1s; retransmits = 1; }}
}}
lang_detection {{ languages = "{place}/none"; }}
logging {{ type = "file"; filename = "{place}/rspamd.log"; level = "info"; }}
actions {{ reject = 15; add_header = 6; greylist = 4; }}
lua = "{place}/rules.lua";
worker "rspamd_proxy" {{
  bind_socket = "{place}/rspamd mode=0666";
  milter = yes;
  timeout = 20s;
  count = 1;
  spam_header = "X-Spam";
  upstream "local" {{ default = yes; self_scan = yes; }}
}}
"""
_RULES = """
local function rule(name, word, score)
  rspamd_config:register_symbol{name = name, score = score, callback = function(task)
    return (task:get_subject() or ''):find(word) ~= nil
  end}
end
rule('JUNK', 'junk', 7.0)
rule('WORSE', 'refuse', 20.0)
rspamd_config:register_symbol{name = 'GREYLIST', type = 'prefilter', callback = function(task)
  if (task:get_subject() or ''):find('greylist') then
    task:set_pre_result('soft reject', 'Try again later')  -- as the module greylist, which needs Redis
  end
end}
"""


@contextmanager
def started(socket: Path, *command: str | Path, log: Path | None = None, within_s: float = 30) -> Iterator[None]:
    """A filter, from the time at which its socket exists. It must stay in the foreground."""
    environment = {**os.environ, "RES_OPTIONS": "timeout:1 attempts:1"}
    with open(f"{socket}.out", "wb") as output:
        process = subprocess.Popen(
            [need(str(command[0])), *command[1:]],
            stdout=output,
            stderr=output,
            env=environment,
            start_new_session=True,
        )

        def said() -> str:
            texts = [Path(f"{socket}.out"), *([log] if log else [])]
            return "\n".join(each.read_text(errors="replace") for each in texts if each.exists())

        try:
            until(lambda: socket.exists() or process.poll() is not None, within_s, said)
            assert process.poll() is None, said()
            yield
        finally:
            # Nothing is to be kept, and some need 5 seconds to stop. Workers of rspamd outlive its first process.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(20)


@contextmanager
def rspamd(place: Path) -> Iterator[Path]:
    """Rspamd with rules for words in the subject; its socket."""
    (place / "rspamd.conf").write_text(_RSPAMD.format(place=place))
    (place / "rules.lua").write_text(_RULES)
    (place / "suffixes").write_text("example\norg\n")  # the whole list takes half a minute
    switches = ("-f", "-i", "-c", place / "rspamd.conf")
    with started(place / "rspamd", "rspamd", *switches, log=place / "rspamd.log"):
        yield place / "rspamd"


_SPAMASSASSIN = """
loadplugin Mail::SpamAssassin::Plugin::Check
required_score 5
report_safe 0
use_bayes 0
add_header spam Flag _YESNOCAPS_
add_header all Status "_YESNO_, score=_SCORE_ required=_REQD_ tests=_TESTS_ autolearn=_AUTOLEARN_ version=_VERSION_"
add_header all Checker-Version "SpamAssassin _VERSION_"
header JUNK Subject =~ /junk/
score JUNK 7
header WORSE Subject =~ /refuse/
score WORSE 20
"""


@contextmanager
def spamassassin(place: Path) -> Iterator[Path]:
    """SpamAssassin's daemon with rules for words in the subject, and its milter; the socket of the milter."""
    rules, daemon, milter = place / "spamassassin", place / "spamd", place / "spamass"
    rules.mkdir()
    (rules / "local.cf").write_text(_SPAMASSASSIN)
    spamd = ("spamd", "--local", "--max-children=1", "--nouser-config", "--username=nobody", f"--socketpath={daemon}")
    where = (f"--configpath={rules}", f"--siteconfigpath={rules}", "--socketmode=0666", f"--pidfile={place}/spamd.pid")
    with (
        started(daemon, *spamd, *where, within_s=60),
        started(milter, "spamass-milter", "-p", milter, "-m", "-r", "15", "--", "-U", daemon),
    ):
        yield milter
