"""The DKIM keys of the local domains: made, kept, published, changed.

`store` keeps them in files; `publication` finds out whether DNS shows a key; `records` prints what a domain has to
publish. The files of one domain are in the folder DOMAIN of the `dkim` folder beside the configuration file:

    SELECTOR.pem    the private key (PKCS#8, 0600)
    SELECTOR.txt    its record in DNS
    state.json      the state of each key and its times

A key is `new` until DNS shows it, `seen` while some name server does not show it yet, `in use` for signing, and
`retired` after another one has taken its place.
"""
