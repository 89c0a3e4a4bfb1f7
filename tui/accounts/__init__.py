"""Accounts and aliases."""
