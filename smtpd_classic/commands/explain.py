"""`smtpd-classic explain`: whether a message would be accepted, and which line of the file decides that."""

import argparse
import ipaddress
import json
import os

from smtpd_classic.commands.failures import Refused, guarded, needs
from smtpd_classic.config import Config, load
from smtpd_classic.config.kinds import SIZE
from smtpd_classic.explanation import (
    Explanation,
    NoSuchListener,
    Question,
    authentication_of,
    blocked_attachment_of,
    explanation,
    filter_rules_of,
)
from smtpd_classic.log import printable
from smtpd_classic.policy.explain import Step
from smtpd_classic.policy.transaction import AuthenticationVerdict

__all__ = ["HELP", "add_arguments", "run"]

REFUSED = 1
HELP = "say whether a message would be accepted, and why"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--ip", required=True, metavar="IP", type=_ip, help="the address of the client")
    parser.add_argument("--from", required=True, dest="sender", metavar="SENDER", help="the sender; <> for none")
    parser.add_argument("--to", required=True, dest="recipient", metavar="RECIPIENT", help="the recipient")
    parser.add_argument("--login", default="", metavar="USER", help="the user who has logged in")
    parser.add_argument("--listener", default="", metavar="NAME", help="the listener; automatic when not given")
    parser.add_argument("--size", default=0, type=_size, metavar="SIZE", help="the declared size, as in 5M")
    parser.add_argument(
        "--message",
        metavar="FILE",
        help="a message: show its results of SPF, DKIM and DMARC, the filter rules that it meets, and a blocked "
        "attachment",
    )
    parser.add_argument("--helo", default="", metavar="NAME", help="the name that the client gives in EHLO")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON")
    output.add_argument("--quiet", action="store_true", help="print nothing: the exit status is 1 when it is refused")


def _ip(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        raise argparse.ArgumentTypeError(f"“{text}” is not an IP address.") from None


def _size(text: str) -> int:
    try:
        return SIZE.parse(text)
    except ValueError as problem:
        raise argparse.ArgumentTypeError(str(problem)) from None


def run(args: argparse.Namespace) -> int:
    return guarded(lambda: _explain(load(args.config), args))


def _explain(config: Config, args: argparse.Namespace) -> int:
    needs(config.server.users_file, config.server.aliases_file)
    sender = args.sender.strip().removeprefix("<").removesuffix(">")
    recipient = args.recipient.strip().strip("<>")
    question = Question(args.ip, sender, recipient, args.login, args.size, hello=args.helo)
    try:
        found = explanation(config, question, args.listener)
    except NoSuchListener:
        names = ", ".join(each.name for each in config.listeners) or "none"
        raise Refused(f"there is no listener “{args.listener}”; there are: {names}.", os.EX_DATAERR) from None
    shown, lines = _shown(found), _lines(found)
    accepted = found.accepted
    if args.message:
        with open(args.message, "rb") as file:
            content = file.read()
        verdict = authentication_of(config, question, content)
        rules, blocked = filter_rules_of(config, question, content), blocked_attachment_of(config, question, content)
        if accepted and verdict.reply is not None:
            accepted = False
            shown |= {"accepted": False, "reply": str(verdict.reply)}
            lines[:2] = [f"refused: {verdict.reply}", f"because {verdict.reason} ([authentication])"]
        shown["filter_rules"] = [{"name": each.name, "action": str(each.action)} for each in rules]
        shown["blocked_attachment"] = blocked
        shown["authentication"] = {"action": verdict.action, "reason": verdict.reason, "results": _results(verdict)}
        lines += ["", f"action: {verdict.action} ({verdict.reason})", *_results(verdict)]
        lines += [f"filter rule {each.name}: {each.action}" for each in rules] or ["it meets no filter rule"]
        if blocked:
            lines.append(f"blocked attachment {printable(blocked)}: {config.filter.block_attachments_action}")
    if args.json:
        print(json.dumps(shown, indent=2, ensure_ascii=False))
    elif not args.quiet:
        print("\n".join(lines))
    return os.EX_OK if accepted else REFUSED


def _shown(found: Explanation) -> dict[str, object]:
    return {
        "accepted": found.accepted,
        "reply": str(found.reply),
        "decided": found.decided._asdict(),
        "steps": [step._asdict() for step in found.steps],
        "targets": list(found.targets),
    }


def _results(verdict: AuthenticationVerdict) -> list[str]:
    """Return one line for each word, with the reason for it."""
    results = verdict.results
    spf, dmarc = results.spf, results.dmarc
    lines = [f"spf={spf.word} {spf.domain}: {spf.reason}"]
    lines += [
        f"dkim={each.word} {each.domain}/{each.selector}: {each.reason or 'the signature is good'}"
        for each in results.dkim
    ] or ["dkim=none: there is no signature"]
    policy = f" p={dmarc.policy} ({dmarc.record_domain})" if dmarc.policy else ""
    lines.append(f"dmarc={dmarc.word} {dmarc.domain}{policy}: {dmarc.reason or 'the author is confirmed'}")
    return [printable(line, 500) for line in lines]


def _lines(found: Explanation) -> list[str]:
    lines = [f"{'accepted' if found.accepted else 'refused'}: {found.reply}", f"because {_reason(found.decided)}"]
    if found.targets:
        lines.append(f"goes to {', '.join(found.targets)}")
    lines.append("")
    width = max(len(step.check) for step in found.steps)
    return lines + [f"{step.command:7} {step.check:{width}}  {step.outcome}" for step in found.steps]


def _reason(step: Step) -> str:
    option = f" ([{step.section}] {step.option}, {step.place})" if step.option else ""
    return f"{step.outcome}{option}"
