"""The screens Status and Explain."""
