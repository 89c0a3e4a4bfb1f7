"""The milter protocol, the side of an MTA: packets and changes as functions of octets, and a driver for the socket."""
