"""SPF (RFC 7208), DKIM (RFC 6376, 8301, 8463, 8616), DMARC (RFC 9989) and Authentication-Results (RFC 8601).

`spf`, `dkim_verify` and `dmarc` judge a message that comes in, `dkim_sign` signs one that leaves, `results` writes and
reads the field. All of them are functions of their arguments, of a clock and of `lookup.Lookups`, which counts and
bounds the questions to DNS. A body is hashed in pieces by `body_hash`; the package never holds it whole.

Content has LF line ends here, as on disk; it is hashed with CRLF, as on the wire.
"""
