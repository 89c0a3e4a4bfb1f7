"""The two spellings of an internationalised domain name (RFC 5890): A-labels for DNS, U-labels for people."""

__all__ = [
    "ascii_address",
    "ascii_domain",
    "comparable_address",
    "comparable_domain",
    "domain_of_host",
    "spellings",
    "tidy_domain",
]


def tidy_domain(domain: str) -> str:
    """Lower case, without the dot that ends a fully qualified name."""
    return domain.lower().removesuffix(".")


def domain_of_host(fqdn: str) -> str:
    """Return the mail domain to propose for a host name: without its first label if it has three or more."""
    name = tidy_domain(fqdn)
    _, _, rest = name.partition(".")
    return rest if "." in rest else name


def ascii_domain(domain: str) -> str:
    """The name as DNS knows it. Raises ValueError when it cannot be one.

    The codec of the standard library is IDNA 2003 and sends mail for faß.de to fass.de, another domain; idna follows
    RFC 5891.
    """
    if domain.isascii():
        return tidy_domain(domain)
    import idna  # noqa: PLC0415 - it takes a while, and is rarely needed

    try:
        return idna.encode(tidy_domain(domain), uts46=True).decode("ascii")
    except (idna.IDNAError, UnicodeError) as problem:
        raise ValueError(f"“{domain}” is not a domain name: {problem}") from None


def ascii_address(address: str) -> str:
    """Return the address, or a name alone, with its domain as DNS knows it, where that can be."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{ascii_domain(domain)}"
    except ValueError:
        return address


def comparable_domain(domain: str) -> str:
    """Return the spelling in which two domains, or `.domain` for those below it, are compared: that of DNS, if any."""
    if domain.isascii():
        return tidy_domain(domain)
    name = domain.removeprefix(".")
    try:
        return domain[: len(domain) - len(name)] + ascii_domain(name)
    except ValueError:
        return tidy_domain(domain)


def comparable_address(address: str) -> str:
    """Return the form in which two addresses are compared, regardless of case and of the spelling of the domain."""
    if address.isascii():
        return tidy_domain(address)
    local, at, domain = address.rpartition("@")
    return f"{local.lower()}{at}{comparable_domain(domain)}"


def spellings(domain: str) -> tuple[str, ...]:
    """Every way in which a client may write this domain; the given one first. A plain ASCII name has one."""
    name = tidy_domain(domain)
    if name.isascii() and "xn--" not in name:
        return (name,)
    import idna  # noqa: PLC0415 - see above

    found = [name]
    try:
        if not name.isascii():
            found.append(ascii_domain(name))
        found.append(idna.decode(found[-1]))  # of a given name outside ASCII: its usual form
    except (idna.IDNAError, UnicodeError, ValueError):
        pass  # a label that only looks like one; the name stands for itself
    return tuple(dict.fromkeys(found))
